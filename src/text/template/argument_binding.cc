#include "text/template/argument_binding.h"

#include <algorithm>
#include <utility>

#include "text/template/number_text.h"

namespace pelton::jinja {

Status BindArguments(RenderContext& context, std::string_view function, size_t num_required,
                     std::initializer_list<std::string_view> names, Arguments& arguments,
                     Value* out) {
  const auto fail = [&](std::string_view what, std::string_view name) {
    std::string message(function);
    message.append("() ").append(what).append(name);
    return context.RuntimeError(std::move(message));
  };
  if (arguments.positional.size() > names.size()) {
    return fail("takes fewer arguments than ", std::to_string(arguments.positional.size()));
  }
  std::fill(out, out + names.size(), Value::Missing());
  std::move(arguments.positional.begin(), arguments.positional.end(), out);
  for (auto& [name, value] : arguments.named) {
    const auto* it = std::find(names.begin(), names.end(), name);
    if (it == names.end() || it->starts_with('/')) return fail("has no argument ", name);
    Value& slot = out[it - names.begin()];
    if (!slot.is_missing()) return fail("has two values for ", name);
    slot = std::move(value);
  }
  for (size_t i = 0; i < num_required; ++i) {
    if (!out[i].is_missing()) continue;
    std::string_view name = names.begin()[i];
    if (name.starts_with('/')) name.remove_prefix(1);
    return fail("needs the argument ", name);
  }
  return OkStatus();
}

Result<int64_t> IntArgument(RenderContext& context, std::string_view name, const Value& value,
                            int64_t fallback) {
  if (value.is_missing()) return fallback;
  if (value.is_undefined()) return context.UndefinedError(value);
  if (!value.is_integral()) {
    return context.RuntimeError("'" + std::string(name) + "' must be an integer, not '" +
                                std::string(TypeName(value)) + "'");
  }
  const std::optional<int64_t> number = ToInt64(value.as_int());
  if (!number) return context.RuntimeError("'" + std::string(name) + "' is too large");
  return *number;
}

Result<std::string> TextArgument(RenderContext& context, std::string_view name, const Value& value,
                                 std::string_view fallback) {
  if (value.is_missing()) return std::string(fallback);
  if (value.is_undefined()) return context.UndefinedError(value);
  if (!value.is_string()) {
    return context.RuntimeError("'" + std::string(name) + "' must be a string, not '" +
                                std::string(TypeName(value)) + "'");
  }
  return value.text();
}

bool FlagArgument(const Value& value, bool fallback) {
  return value.is_missing() ? fallback : IsTruthy(value);
}

}  // namespace pelton::jinja
