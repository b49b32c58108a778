#include "serving/ollama/ollama_error.h"

#include "serving/request/field_reader.h"

namespace pelton {

std::string OllamaErrorBody(const ApiError& error) { return ToText({{"error", error.message}}); }

}  // namespace pelton
