#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

namespace pelton::jinja {

struct WrapOptions {
  int64_t width = 79;  // in code points, at least 1
  bool break_long_words = true;
  bool break_on_hyphens = true;
};

// The lines of one paragraph, as Python's textwrap.wrap() with expand_tabs and replace_whitespace
// off. Linear in the text. Source: CPython 3.11 Lib/textwrap.py.
std::vector<std::string> WrapText(std::string_view text, const WrapOptions& options);

}  // namespace pelton::jinja
