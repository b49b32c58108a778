#pragma once

#include <functional>
#include <optional>
#include <string_view>

#include "serving/api/api_error.h"
#include "serving/request/field_reader.h"

namespace pelton {

// Reads a JSON object with `read` and refuses members that it did not ask for. The first refusal.
std::optional<ApiError> ReadBody(std::string_view body,
                                 const std::function<void(FieldReader&)>& read);

}  // namespace pelton
