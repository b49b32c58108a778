#include "serving/openai/api_error.h"

#include <nlohmann/json.hpp>

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

ApiError ApiErrorOf(const Status& status, std::string param) {
  ApiError error{.message = status.message(), .param = std::move(param)};
  switch (status.code()) {
    case StatusCode::kInvalidArgument:
    case StatusCode::kUnimplemented:
      error.status = 400;
      break;
    case StatusCode::kNotFound:
      error.status = 404;
      break;
    // What an engine refuses for its size: no waiting makes it fit.
    case StatusCode::kResourceExhausted:
      error.status = 400;
      error.code = "context_length_exceeded";
      break;
    case StatusCode::kUnavailable:
    case StatusCode::kCancelled:
    case StatusCode::kDeadlineExceeded:
      error.status = 503;
      break;
    default:
      error.status = 500;
      break;
  }
  return error;
}

std::string ErrorBody(const ApiError& error) {
  using Json = nlohmann::ordered_json;
  const Json body = {
      {"error",
       {{"message", error.message},
        {"type", TypeOf(error.status)},
        {"param", error.param.empty() ? Json() : Json(error.param)},
        {"code", error.code.empty() ? std::string(CodeOf(error.status)) : error.code}}}};
  return body.dump(-1, ' ', false, Json::error_handler_t::replace);
}

void SendError(HttpResponse& response, const ApiError& error) {
  std::vector<HttpHeader> headers = {{"Content-Type", "application/json"}};
  if (error.status == 503 || error.status == 429) headers.push_back({"Retry-After", "1"});
  response.Send(error.status, headers, ErrorBody(error));
}

void SendJson(HttpResponse& response, std::string body) {
  response.Send(200, {{"Content-Type", "application/json"}}, std::move(body));
}

}  // namespace pelton
