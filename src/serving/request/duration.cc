#include "serving/request/duration.h"

#include <charconv>
#include <utility>

namespace pelton {
namespace {

constexpr double kMostNs = 100.0 * 365 * 86'400 * 1e9;

// Takes the longest unit that `text` begins with; 0 if it begins with none.
double TakeUnit(std::string_view* text) {
  constexpr std::pair<std::string_view, double> kUnits[] = {{"ms", 1e6},   {"us", 1e3}, {"ns", 1},
                                                            {"h", 3600e9}, {"m", 60e9}, {"s", 1e9}};
  for (const auto& [name, ns] : kUnits) {
    if (!text->starts_with(name)) continue;
    text->remove_prefix(name.size());
    return ns;
  }
  return 0;
}

}  // namespace

std::optional<int64_t> ParseDuration(std::string_view text) {
  if (text == "forever") return -1;
  const bool negative = text.starts_with('-');
  if (negative) text.remove_prefix(1);
  if (text.empty()) return std::nullopt;
  double ns = 0;
  for (bool first = true; !text.empty(); first = false) {
    double number = 0;
    if (text[0] != '.' && (text[0] < '0' || text[0] > '9')) return std::nullopt;  // "inf", "nan"
    const auto [end, error] =
        std::from_chars(text.data(), text.data() + text.size(), number, std::chars_format::fixed);
    if (error != std::errc() || !(number >= 0)) return std::nullopt;
    text.remove_prefix(static_cast<size_t>(end - text.data()));
    if (first && text.empty()) {
      ns = number * 1e9;
      break;
    }
    const double unit = TakeUnit(&text);
    if (unit == 0) return std::nullopt;
    ns += number * unit;
  }
  if (negative && ns > 0) return -1;
  if (!(ns < kMostNs)) return -1;
  return static_cast<int64_t>(ns);
}

}  // namespace pelton
