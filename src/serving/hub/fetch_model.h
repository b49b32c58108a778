#pragma once

#include <string_view>

namespace pelton {

// tools/fetch_model, compiled in: the one place that knows the default models' packages and sums.
std::string_view FetchModelScript();

}  // namespace pelton
