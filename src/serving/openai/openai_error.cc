#include "serving/openai/openai_error.h"

#include "serving/request/field_reader.h"

namespace pelton {
namespace {

const char* TypeOf(int status) {
  switch (status) {
    case 401:
    case 403:
      return "authentication_error";
    case 429:
      return "rate_limit_error";
    default:
      return status < 500 ? "invalid_request_error" : "server_error";
  }
}

const char* CodeOf(int status) {
  switch (status) {
    case 400:
      return "invalid_value";
    case 401:
      return "invalid_api_key";
    case 403:
      return "forbidden";
    case 404:
      return "not_found";
    case 405:
      return "method_not_allowed";
    case 429:
      return "rate_limit_exceeded";
    case 503:
      return "overloaded";
    default:
      return "internal_error";
  }
}

}  // namespace

std::string OpenAiErrorBody(const ApiError& error) {
  return ToText(
      {{"error",
        {{"message", error.message},
         {"type", TypeOf(error.status)},
         {"param", error.param.empty() ? Json() : Json(error.param)},
         {"code", error.code.empty() ? std::string(CodeOf(error.status)) : error.code}}}});
}

}  // namespace pelton
