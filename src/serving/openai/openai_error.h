#pragma once

#include <string>

#include "serving/api/api_error.h"

namespace pelton {

// {"error":{"message","type","param","code"}}
std::string OpenAiErrorBody(const ApiError& error);

}  // namespace pelton
