#include "text/template/filters.h"

#include <algorithm>

namespace pelton::jinja {

const Filter* FindFilter(std::string_view name) {
  static const FilterTable tables[] = {TextFilters(), MarkupFilters(), SequenceFilters(),
                                       LazyFilters(), NumberFilters()};
  for (const FilterTable& table : tables) {
    const Filter* it = std::lower_bound(
        table.begin, table.end, name,
        [](const Filter& filter, std::string_view wanted) { return filter.name < wanted; });
    if (it != table.end && it->name == name) return it;
  }
  return nullptr;
}

}  // namespace pelton::jinja
