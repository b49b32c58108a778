#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "base/status.h"
#include "net/http/server.h"

namespace pelton {

// A refusal, before an interface states it in its own form. `param` names the field of the request
// that is wrong; empty if none is.
struct ApiError {
  int status = 400;  // of HTTP
  std::string message;
  std::string param;
  std::string code = "";     // "context_length_exceeded", …; empty: the status' own name
  uint32_t retry_after = 1;  // seconds, stated with status 429 and 503
};

// The error for a Status: 400 for what the caller can mend, 404 for NotFound, 503 for what may
// succeed later, else 500.
ApiError ApiErrorOf(const Status& status, std::string param = "");

// For what ended because there was no memory for it: 503 with the code "out_of_memory".
ApiError OutOfMemory();

// An interface's body of an error; bytes that are not UTF-8 are replaced. Any thread.
using ErrorShape = std::string (*)(const ApiError& error);

// The whole answer that an error is, as JSON; with Retry-After where trying again can help.
HttpAnswer ErrorAnswer(const ApiError& error, ErrorShape shape,
                       std::vector<HttpHeader> headers = {});

// Sends a JSON text as the whole answer.
void SendJson(HttpResponse& response, std::string body);

}  // namespace pelton
