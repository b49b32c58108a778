#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace pelton {

// Finds stop strings in a text that arrives in pieces, and holds back what might be the beginning
// of one. The result does not depend on how the text is split: the stop string that is complete
// first ends the text, and of several that are complete at once the longest; everything from its
// first byte on is dropped. One thread.
class StopMatcher {
 public:
  // Requires: no stop string is empty.
  explicit StopMatcher(std::span<const std::string> stop_strings);

  // Appends to `out` the text that can no longer belong to a stop string and returns whether one
  // is complete; then Feed is not called again. With may_stop false nothing can become complete
  // inside this piece, but a stop string may begin in it. O(bytes * stop strings).
  bool Feed(std::string_view piece, bool may_stop, std::string& out);

  // Appends what is held back: the text ended without a stop string.
  void Finish(std::string& out);

  // The stop string that ended the text; -1 while there is none.
  int matched() const { return matched_; }

 private:
  // Knuth, Morris and Pratt's automaton of one stop string.
  struct Pattern {
    std::string text;
    std::vector<uint32_t> fallback;  // [n + 1] longest proper border of text[0, i)
    uint32_t length = 0;             // bytes of `text` that the input ends with
  };

  std::vector<Pattern> patterns_;
  std::string held_;
  int matched_ = -1;
};

}  // namespace pelton
