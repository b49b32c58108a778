#include "text/template/attribute_path.h"

#include <algorithm>
#include <string_view>

#include "text/template/access.h"
#include "text/template/argument_binding.h"
#include "text/template/number_text.h"
#include "text/template/unicode_text.h"

namespace pelton::jinja {
namespace {

std::vector<std::string_view> SplitAt(std::string_view text, char separator) {
  std::vector<std::string_view> parts;
  while (true) {
    const size_t end = text.find(separator);
    parts.push_back(text.substr(0, end));
    if (end == text.npos) return parts;
    text.remove_prefix(end + 1);
  }
}

bool IsNumber(std::string_view text) {
  return !text.empty() &&
         std::all_of(text.begin(), text.end(), [](char c) { return c >= '0' && c <= '9'; });
}

std::vector<Value> PartsOf(RenderContext& context, std::string_view path) {
  std::vector<Value> parts;
  for (const std::string_view part : SplitAt(path, '.')) {
    const std::optional<Int> number = IsNumber(part) ? ParseInt(part, 10) : std::nullopt;
    parts.push_back(number ? Value::Integer(*number) : context.NewString(std::string(part)));
  }
  return parts;
}

}  // namespace

Result<AttributePath> AttributePath::Parse(Interpreter& vm, const Value& attribute) {
  AttributePath path;
  if (IsAbsent(attribute)) return path;
  RETURN_IF_ERROR(vm.Step());
  if (attribute.is_string()) {
    path.parts_ = PartsOf(vm, attribute.text());
  } else {
    path.parts_.push_back(attribute);
  }
  return path;
}

Result<std::vector<AttributePath>> AttributePath::ParseList(Interpreter& vm,
                                                            const Value& attribute) {
  std::vector<AttributePath> paths;
  if (!attribute.is_string()) {
    ASSIGN_OR_RETURN(AttributePath path, Parse(vm, attribute));
    paths.push_back(std::move(path));
    return paths;
  }
  for (const std::string_view text : SplitAt(attribute.text(), ',')) {
    RETURN_IF_ERROR(vm.Step());
    paths.emplace_back().parts_ = PartsOf(vm, text);
  }
  return paths;
}

Result<Value> AttributePath::Get(Interpreter& vm, const Value& item, const Value& fallback) const {
  Value value = item;
  for (const Value& part : parts_) {
    RETURN_IF_ERROR(vm.Step());
    ASSIGN_OR_RETURN(value, GetItem(vm, value, part));
    if (value.is_undefined() && !IsAbsent(fallback)) value = fallback;
  }
  return value;
}

Result<Value> SortKey(RenderContext& context, const Value& value, bool case_sensitive) {
  if (case_sensitive || !value.is_string()) return value;
  RETURN_IF_ERROR(context.ChargeCase(value.text()));
  return context.NewString(Lower(value.text()));
}

}  // namespace pelton::jinja
