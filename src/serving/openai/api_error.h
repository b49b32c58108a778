#pragma once

#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "base/status.h"
#include "net/http/server.h"

namespace pelton {

// A refusal as OpenAI's interface states it. `param` names the field of the request that is wrong;
// empty if none is.
struct ApiError {
  int status = 400;  // of HTTP
  std::string message;
  std::string param;
  std::string code;  // "context_length_exceeded", …; empty: the status' own name
};

// The error for a Status: 400 for what the caller can mend, 404 for NotFound, 503 for what may
// succeed later, else 500.
ApiError ApiErrorOf(const Status& status, std::string param = "");

// {"error":{"message","type","param","code"}}; bytes that are not UTF-8 are replaced.
std::string ErrorBody(const ApiError& error);

// Sends the error as the whole answer; with Retry-After where trying again can help.
void SendError(HttpResponse& response, const ApiError& error);

// Sends a JSON text as the whole answer.
void SendJson(HttpResponse& response, std::string body);

}  // namespace pelton
