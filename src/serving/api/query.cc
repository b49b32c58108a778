#include "serving/api/query.h"

#include <charconv>

namespace pelton {

std::optional<int> QueryNumber(std::string_view query, std::string_view name, int least, int most) {
  if (query.substr(0, name.size()) != name) return std::nullopt;
  query.remove_prefix(name.size());
  if (query.empty() || query.front() != '=') return std::nullopt;
  query.remove_prefix(1);
  int number = 0;
  const auto [end, error] = std::from_chars(query.data(), query.data() + query.size(), number);
  if (error != std::errc() || end != query.data() + query.size()) return std::nullopt;
  if (number < least || number > most) return std::nullopt;
  return number;
}

}  // namespace pelton
