#pragma once

#include <string>
#include <string_view>

namespace pelton {

// A name that no other answer has: PREFIX and 24 random letters.
std::string UniqueId(std::string_view prefix);

}  // namespace pelton
