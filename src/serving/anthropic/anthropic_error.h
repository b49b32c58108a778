#pragma once

#include <string>

#include "serving/api/api_error.h"

namespace pelton {

// {"type":"error","error":{"type","message"}}
std::string AnthropicErrorBody(const ApiError& error);

}  // namespace pelton
