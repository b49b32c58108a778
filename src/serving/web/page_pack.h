#pragma once

#include <string_view>

namespace pelton {

// What pack.py wrote: the page and its libraries, compiled in.
std::string_view PagePack();

}  // namespace pelton
