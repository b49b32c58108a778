#include "text/template/argument_binding.h"

#include <algorithm>
#include <utility>

#include "text/template/number_text.h"

namespace pelton::jinja {

Status BindArguments(RenderContext& context, std::string_view function, size_t num_required,
                     std::initializer_list<std::string_view> names, Arguments& arguments,
                     Value* out) {
  const std::string prefix = std::string(function) + "() ";
  if (arguments.positional.size() > names.size()) {
    return context.RuntimeError(prefix + "takes at most " + std::to_string(names.size()) +
                                " arguments, found " + std::to_string(arguments.positional.size()));
  }
  std::fill(out, out + names.size(), Value::Missing());
  std::move(arguments.positional.begin(), arguments.positional.end(), out);
  for (auto& [name, value] : arguments.named) {
    const auto it = std::find(names.begin(), names.end(), name);
    if (it == names.end() || it->starts_with('/'))
      return context.RuntimeError(prefix + "has no argument '" + name + "'");
    Value& slot = out[it - names.begin()];
    if (!slot.is_missing()) {
      return context.RuntimeError(prefix + "has two values for '" + name + "'");
    }
    slot = std::move(value);
  }
  for (size_t i = 0; i < num_required; ++i) {
    if (out[i].is_missing()) {
      return context.RuntimeError(prefix + "needs the argument '" + std::string(names.begin()[i]) +
                                  "'");
    }
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
