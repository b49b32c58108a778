#include "serving/api/api_error.h"

#include <utility>

namespace pelton {

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

ApiError OutOfMemory() {
  return {.status = 503,
          .message = "the server is out of memory; try again later",
          .code = "out_of_memory"};
}

HttpAnswer ErrorAnswer(const ApiError& error, ErrorShape shape, std::vector<HttpHeader> headers) {
  headers.push_back({"Content-Type", "application/json"});
  if (error.status == 503 || error.status == 429) {
    headers.push_back({"Retry-After", std::to_string(error.retry_after)});
  }
  return {error.status, std::move(headers), shape(error)};
}

void SendJson(HttpResponse& response, std::string body) {
  response.Send(200, {{"Content-Type", "application/json"}}, std::move(body));
}

}  // namespace pelton
