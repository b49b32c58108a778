#include "text/tokenizer/pre_tokenizer.h"

#include <algorithm>
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
  bool KeepsText() const override { return behavior_ != SplitBehavior::kRemoved; }

 protected:
  void Split(std::string_view piece, std::vector<std::string_view>* out) const override {
    std::vector<Part> parts;
    RegexSearch search(regex_);
    size_t done = 0;
    for (size_t from = 0; from < piece.size();) {
      const std::optional<RegexSearch::Match> match = search.Find(piece, from);
      if (!match) break;
      if (match->start > done) parts.push_back({piece.substr(done, match->start - done), invert_});
      // An empty match still cuts.
      done = from = match->end;
      if (match->end == match->start) {
        if (from < piece.size()) DecodeUtf8(piece, &from);
        continue;
      }
      parts.push_back({piece.substr(match->start, match->end - match->start), !invert_});
    }
    if (done < piece.size()) parts.push_back({piece.substr(done), invert_});
    AppendParts(parts, behavior_, out);
  }

 private:
  Regex regex_;
  SplitBehavior behavior_;
  bool invert_;
};

class FinalSpaceSplit final : public SplitStep {
 public:
  bool KeepsText() const override { return true; }

 protected:
  void Split(std::string_view piece, std::vector<std::string_view>* out) const override {
    size_t done = 0;
    for (size_t pos = 0; pos < piece.size();) {
      const size_t run = pos;
      size_t run_end = pos;  // of white space
      size_t last_line_feed = std::string_view::npos;
      while (pos < piece.size() && (CharClasses(DecodeUtf8(piece, &pos)) & kSpace) != 0) {
        if (piece[run_end] == '\n') last_line_feed = run_end;
        run_end = pos;
      }
      // $ matches at the end and before each line feed; \s+ takes as much as it can before.
      size_t match_end = run;
      if (run_end == piece.size()) {
        match_end = run_end;
      } else if (last_line_feed != std::string_view::npos) {
        match_end = last_line_feed;
      }
      if (match_end == run) continue;
      if (run > done) out->push_back(piece.substr(done, run - done));
      out->push_back(piece.substr(run, match_end - run));
      done = match_end;
    }
    if (done < piece.size()) out->push_back(piece.substr(done));
  }
};

class ClassSplit final : public SplitStep {
 public:
  ClassSplit(uint16_t classes, SplitBehavior behavior, bool ascii_symbols)
      : classes_(classes), behavior_(behavior), ascii_symbols_(ascii_symbols) {}
  bool KeepsText() const override { return behavior_ != SplitBehavior::kRemoved; }
  bool CutsWords() const override {
    return classes_ == kSpace && !ascii_symbols_ && behavior_ == SplitBehavior::kRemoved;
  }

 protected:
  void Split(std::string_view piece, std::vector<std::string_view>* out) const override {
    std::vector<Part> parts;
    size_t done = 0;
    for (size_t pos = 0; pos < piece.size();) {
      const size_t here = pos;
      if (!Matches(DecodeUtf8(piece, &pos))) continue;
      if (here > done) parts.push_back({piece.substr(done, here - done), false});
      parts.push_back({piece.substr(here, pos - here), true});
      done = pos;
    }
    if (done < piece.size()) parts.push_back({piece.substr(done), false});
    AppendParts(parts, behavior_, out);
  }

 private:
  bool Matches(uint32_t code_point) const {
    const uint16_t classes = CharClasses(code_point);
    return (classes & classes_) != 0 ||
           (ascii_symbols_ && code_point < 128 && (classes & kSymbol) != 0);
  }

  uint16_t classes_;
  SplitBehavior behavior_;
  bool ascii_symbols_;
};

class SpacePrefix final : public PreTokenStep {
 public:
  bool KeepsText() const override { return true; }
  void Apply(Pieces* pieces) const override {
    for (std::string_view& piece : pieces->views) {
      if (piece.empty() || piece.starts_with(' ')) continue;
      piece = pieces->owned.emplace_back(" " + std::string(piece));
    }
  }
};

class Metaspace final : public PreTokenStep {
 public:
  explicit Metaspace(MetaspaceOptions options) : options_(std::move(options)) {}
  bool KeepsText() const override { return true; }

  void Apply(Pieces* pieces) const override {
    std::vector<std::string_view> cut;
    for (size_t i = 0; i < pieces->views.size(); ++i) {
      const std::string_view piece = pieces->views[i];
      if (piece.empty()) continue;
      const bool first = i == 0 && pieces->at_start;
      const std::string_view text = pieces->owned.emplace_back(Rewrite(piece, first));
      if (options_.split) {
        Split(text, &cut);
      } else {
        cut.push_back(text);
      }
    }
    pieces->views = std::move(cut);
  }

 private:
  std::string Rewrite(std::string_view piece, bool first) const {
    using enum MetaspaceOptions::Prepend;
    std::string text;
    const bool prepend = options_.prepend == kAlways || (options_.prepend == kFirst && first);
    if (prepend && !piece.starts_with(' ') && !piece.starts_with(options_.replacement)) {
      text = options_.replacement;
    }
    for (const char c : piece) {
      if (c == ' ') {
        text += options_.replacement;
      } else {
        text += c;
      }
    }
    return text;
  }

  void Split(std::string_view text, std::vector<std::string_view>* out) const {
    const std::string_view mark = options_.replacement;
    for (size_t start = 0; start < text.size();) {
      const size_t from = text.substr(start).starts_with(mark) ? start + mark.size() : start;
      const size_t end = std::min(text.find(mark, from), text.size());
      out->push_back(text.substr(start, end - start));
      start = end;
    }
  }

  MetaspaceOptions options_;
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

std::unique_ptr<PreTokenStep> MakeFinalSpaceSplit() { return std::make_unique<FinalSpaceSplit>(); }

std::unique_ptr<PreTokenStep> MakeClassSplit(uint16_t classes, SplitBehavior behavior,
                                             bool ascii_symbols) {
  return std::make_unique<ClassSplit>(classes, behavior, ascii_symbols);
}

std::unique_ptr<PreTokenStep> MakeSpacePrefix() { return std::make_unique<SpacePrefix>(); }

std::unique_ptr<PreTokenStep> MakeMetaspace(MetaspaceOptions options) {
  return std::make_unique<Metaspace>(std::move(options));
}

bool PreTokenizer::KeepsText() const {
  return std::ranges::all_of(steps_, [](const auto& step) { return step->KeepsText(); });
}

// The first stage has to, since others may write white space in another way.
bool PreTokenizer::CutsWords() const {
  return !steps_.empty() && steps_.front()->CutsWords() &&
         std::all_of(steps_.begin() + 1, steps_.end(),
                     [](const auto& step) { return step->KeepsText(); });
}

Pieces PreTokenizer::Split(std::string_view text, bool at_start) const {
  Pieces pieces;
  pieces.at_start = at_start;
  pieces.views.push_back(text);
  for (const std::unique_ptr<PreTokenStep>& step : steps_) step->Apply(&pieces);
  std::erase_if(pieces.views, [](std::string_view piece) { return piece.empty(); });
  return pieces;
}

}  // namespace pelton::tokenizer
