#pragma once

#include "serving/api/route.h"

namespace pelton {

// Anthropic's interface: /v1/messages and /v1/messages/count_tokens.
RouteSet AnthropicRoutes();

}  // namespace pelton
