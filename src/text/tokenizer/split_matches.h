#pragma once

#include <string_view>
#include <vector>

#include "text/tokenizer/text_splitter.h"

namespace pelton::tokenizer {

// Cuts `piece` at its matches. `next(&begin, &end)` gives them from left to right, not
// overlapping; an empty match only cuts.
template <typename Next>
void SplitAtMatches(std::string_view piece, SplitBehavior behavior, bool invert, Next next,
                    Pieces* out) {
  struct Part {
    size_t begin, end;
    bool match;
  };
  std::vector<Part> parts;
  size_t done = 0;
  size_t begin, end;
  while (next(&begin, &end)) {
    if (begin > done) parts.push_back({done, begin, invert});
    parts.push_back({begin, end, !invert});
    done = end;
  }
  if (done < piece.size()) parts.push_back({done, piece.size(), invert});

  const auto add = [&](size_t from, size_t to) { out->Add(piece.substr(from, to - from)); };
  switch (behavior) {
    case SplitBehavior::kIsolated:
      for (const Part& part : parts) add(part.begin, part.end);
      break;
    case SplitBehavior::kRemoved:
      for (const Part& part : parts) {
        if (!part.match) add(part.begin, part.end);
      }
      break;
    case SplitBehavior::kContiguous:
      for (size_t i = 0; i < parts.size();) {
        size_t last = i;
        while (last + 1 < parts.size() && parts[last + 1].match == parts[i].match) ++last;
        add(parts[i].begin, parts[last].end);
        i = last + 1;
      }
      break;
    case SplitBehavior::kMergedWithPrevious:
      // A match joins the part before it, unless that is a match as well.
      for (size_t i = 0; i < parts.size();) {
        const bool joined = !parts[i].match && i + 1 < parts.size() && parts[i + 1].match;
        const size_t last = joined ? i + 1 : i;
        add(parts[i].begin, parts[last].end);
        i = last + 1;
      }
      break;
    case SplitBehavior::kMergedWithNext:
      for (size_t i = 0; i < parts.size();) {
        const bool joined = parts[i].match && i + 1 < parts.size() && !parts[i + 1].match;
        const size_t last = joined ? i + 1 : i;
        add(parts[i].begin, parts[last].end);
        i = last + 1;
      }
      break;
  }
}

}  // namespace pelton::tokenizer
