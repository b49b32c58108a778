#pragma once

#include <string>
#include <string_view>

#include "base/status.h"

namespace pelton {

// The text of "model" in a request's object, which may be large: what follows it is not read. Empty
// if there is none. InvalidArgument, as ParseJson says it, for a body that is not JSON as far as it
// was read.
Result<std::string> ModelFieldOf(std::string_view body);

}  // namespace pelton
