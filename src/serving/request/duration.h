#pragma once

#include <cstdint>
#include <optional>
#include <string_view>

namespace pelton {

// Nanoseconds of a duration as Ollama and Go write it: "300ms", "5m", "1h30m", "1.5h"; a number
// without a unit is seconds. Anything below 0 and "forever" are -1; more than 100 years are, too.
// nullopt if it is none.
std::optional<int64_t> ParseDuration(std::string_view text);

}  // namespace pelton
