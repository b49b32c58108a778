#include "serving/anthropic/anthropic_error.h"

#include "serving/request/field_reader.h"

namespace pelton {
namespace {

const char* TypeOf(int status) {
  switch (status) {
    case 401:
      return "authentication_error";
    case 403:
      return "permission_error";
    case 404:
      return "not_found_error";
    case 413:
      return "request_too_large";
    case 429:
      return "rate_limit_error";
    case 503:
      return "overloaded_error";
    default:
      return status < 500 ? "invalid_request_error" : "api_error";
  }
}

}  // namespace

std::string AnthropicErrorBody(const ApiError& error) {
  // The words by which clients know that they have to shorten the conversation.
  const char* const prefix = error.code == "context_length_exceeded" ? "prompt is too long: " : "";
  return ToText({{"type", "error"},
                 {"error", {{"type", TypeOf(error.status)}, {"message", prefix + error.message}}}});
}

}  // namespace pelton
