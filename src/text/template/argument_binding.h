#pragma once

#include <initializer_list>
#include <string>
#include <string_view>

#include "text/template/host_object.h"
#include "text/template/render_context.h"

// Arguments of built-in functions, matched to parameters as Python does.
namespace pelton::jinja {

// Fills out[0...names.size()) from the arguments; what is not given is missing. The first
// `num_required` must be given. A name that starts with a slash cannot be used as one. Fails for
// too many, unknown or doubled arguments.
Status BindArguments(RenderContext& context, std::string_view function, size_t num_required,
                     std::initializer_list<std::string_view> names, Arguments& arguments,
                     Value* out);

// An argument as the type that the function needs; `fallback` if it is missing.
Result<int64_t> IntArgument(RenderContext& context, std::string_view name, const Value& value,
                            int64_t fallback);
Result<std::string> TextArgument(RenderContext& context, std::string_view name, const Value& value,
                                 std::string_view fallback);
bool FlagArgument(const Value& value, bool fallback);

// Whether the argument was not given, or is none.
inline bool IsAbsent(const Value& value) { return value.is_missing() || value.is_none(); }

}  // namespace pelton::jinja
