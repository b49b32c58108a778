#include "runtime/sequence/stop_matcher.h"

#include <algorithm>

#include "base/check.h"

namespace pelton {

StopMatcher::StopMatcher(std::span<const std::string> stop_strings) {
  size_t longest = 0;
  for (const std::string& text : stop_strings) {
    PELTON_CHECK(!text.empty(), "validated stop strings are not empty");
    longest = std::max(longest, text.size());
    Pattern& pattern = patterns_.emplace_back();
    pattern.text = text;
    pattern.fallback.assign(text.size() + 1, 0);
    uint32_t border = 0;
    for (size_t i = 1; i < text.size(); ++i) {
      while (border > 0 && text[i] != text[border]) border = pattern.fallback[border];
      border += text[i] == text[border];
      pattern.fallback[i + 1] = border;
    }
  }
  held_.reserve(2 * longest + 256);  // a token's text beside what is held: rarely more
}

bool StopMatcher::Feed(std::string_view piece, bool may_stop, std::string& out) {
  if (patterns_.empty()) {
    out.append(piece);
    return false;
  }
  size_t longest_begun = 0;
  for (const char byte : piece) {
    held_.push_back(byte);
    longest_begun = 0;
    size_t longest_complete = 0;
    for (size_t i = 0; i < patterns_.size(); ++i) {
      Pattern& pattern = patterns_[i];
      uint32_t length = pattern.length;
      while (length > 0 && byte != pattern.text[length]) length = pattern.fallback[length];
      length += byte == pattern.text[length];
      if (length == pattern.text.size()) {
        if (may_stop && length > longest_complete) {
          longest_complete = length;
          matched_ = static_cast<int>(i);
        }
        length = pattern.fallback[length];
      }
      pattern.length = length;
      longest_begun = std::max<size_t>(longest_begun, length);
    }
    if (longest_complete > 0) {
      out.append(held_, 0, held_.size() - longest_complete);
      held_.clear();
      return true;
    }
  }
  if (piece.empty()) return false;
  const size_t safe = held_.size() - longest_begun;
  out.append(held_, 0, safe);
  held_.erase(0, safe);
  return false;
}

void StopMatcher::Finish(std::string& out) {
  out.append(held_);
  held_.clear();
}

}  // namespace pelton
