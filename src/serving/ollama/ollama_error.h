#pragma once

#include <string>

#include "serving/api/api_error.h"

namespace pelton {

// {"error":"…"}
std::string OllamaErrorBody(const ApiError& error);

}  // namespace pelton
