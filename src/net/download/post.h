#pragma once

#include <string>
#include <vector>

#include "base/status.h"

namespace pelton {

struct PostRequest {
  std::string url;                   // http or https
  std::vector<std::string> headers;  // "Name: value"
  std::string body;
  long timeout_ms = 10'000;  // for all of it
};

// Sends `body` and throws the answer's body away. No redirects are followed; proxies are taken from
// the environment, as curl does. Unavailable if the server cannot be reached or answers 408, 429 or
// 5xx, so that trying again makes sense; InvalidArgument for other refusals. Blocks; any thread.
Status Post(const PostRequest& request);

}  // namespace pelton
