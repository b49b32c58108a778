#pragma once

#include <optional>
#include <string_view>

namespace pelton {

// N of a query that is "name=N" and nothing else, if it lies between least and most.
std::optional<int> QueryNumber(std::string_view query, std::string_view name, int least, int most);

}  // namespace pelton
