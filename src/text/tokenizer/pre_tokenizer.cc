#include "text/tokenizer/pre_tokenizer.h"

#include <cstddef>
#include <cstdint>
#include <optional>
#include <utility>

#include "text/tokenizer/unicode.h"
#include "text/tokenizer/utf8.h"

namespace pelton::tokenizer {

namespace {

// A part of a piece: a match of the split, or what is between two.
struct Part {
  std::string_view text;
  bool matches;
};

void AppendParts(const std::vector<Part>& parts, SplitBehavior behavior,
                 std::vector<std::string_view>* out) {
  const auto join = [](std::string_view a, std::string_view b) {
    return std::string_view(a.data(), a.size() + b.size());
  };
  bool previous_matches = false;
  for (size_t i = 0; i < parts.size(); ++i) {
    const auto& [text, matches] = parts[i];
    bool glue = false;  // to the piece before
    switch (behavior) {
      case SplitBehavior::kIsolated:
        break;
      case SplitBehavior::kRemoved:
        if (matches) continue;
        break;
      case SplitBehavior::kMergedWithPrevious:
        glue = i > 0 && matches && !previous_matches;
        break;
      case SplitBehavior::kMergedWithNext:
        glue = i > 0 && !matches && previous_matches;
        break;
      case SplitBehavior::kContiguous:
        glue = i > 0 && matches == previous_matches;
        break;
    }
    if (glue) {
      out->back() = join(out->back(), text);
    } else {
      out->push_back(text);
    }
    previous_matches = matches;
  }
}

class RegexSplit final : public SplitStep {
 public:
  RegexSplit(Regex regex, SplitBehavior behavior, bool invert)
      : regex_(std::move(regex)), behavior_(behavior), invert_(invert) {}

 protected:
  void Split(std::string_view piece, std::vector<std::string_view>* out) const override {
    std::vector<Part> parts;
    RegexSearch search(regex_);
    size_t done = 0;
    for (size_t from = 0; from < piece.size();) {
      const std::optional<RegexSearch::Match> match = search.Find(piece, from);
      if (!match) break;
      if (match->end == match->start) {  // empty: matches nothing, so go on behind
        from = match->end;
        if (from < piece.size()) DecodeUtf8(piece, &from);
        continue;
      }
      if (match->start > done) parts.push_back({piece.substr(done, match->start - done), invert_});
      parts.push_back({piece.substr(match->start, match->end - match->start), !invert_});
      done = from = match->end;
    }
    if (done < piece.size()) parts.push_back({piece.substr(done), invert_});
    AppendParts(parts, behavior_, out);
  }

 private:
  Regex regex_;
  SplitBehavior behavior_;
  bool invert_;
};

class ClassSplit final : public SplitStep {
 public:
  ClassSplit(uint16_t classes, bool individual) : classes_(classes), individual_(individual) {}

 protected:
  void Split(std::string_view piece, std::vector<std::string_view>* out) const override {
    size_t start = 0;
    bool in_run = false;
    for (size_t pos = 0; pos < piece.size();) {
      const size_t here = pos;
      const bool is = (CharClasses(DecodeUtf8(piece, &pos)) & classes_) != 0;
      if (here > start && (is != in_run || (is && individual_))) {
        out->push_back(piece.substr(start, here - start));
        start = here;
      }
      in_run = is;
    }
    out->push_back(piece.substr(start));
  }

 private:
  uint16_t classes_;
  bool individual_;
};

}  // namespace

void SplitStep::Apply(Pieces* pieces) const {
  std::vector<std::string_view> cut;
  cut.reserve(pieces->views.size());
  for (const std::string_view piece : pieces->views) {
    if (!piece.empty()) Split(piece, &cut);
  }
  pieces->views = std::move(cut);
}

std::unique_ptr<PreTokenStep> MakeRegexSplit(Regex regex, SplitBehavior behavior, bool invert) {
  return std::make_unique<RegexSplit>(std::move(regex), behavior, invert);
}

std::unique_ptr<PreTokenStep> MakeClassSplit(uint16_t classes, bool individual) {
  return std::make_unique<ClassSplit>(classes, individual);
}

Pieces PreTokenizer::Split(std::string_view text) const {
  Pieces pieces;
  pieces.views.push_back(text);
  for (const std::unique_ptr<PreTokenStep>& step : steps_) step->Apply(&pieces);
  std::erase_if(pieces.views, [](std::string_view piece) { return piece.empty(); });
  return pieces;
}

}  // namespace pelton::tokenizer
