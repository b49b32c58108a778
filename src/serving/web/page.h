#pragma once

#include <string_view>

namespace pelton {

// The chat page, compiled in: it needs no other server.
std::string_view PageHtml();
std::string_view PageCss();
std::string_view PageJs();
std::string_view LiveJs();

}  // namespace pelton
