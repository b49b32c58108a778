#include "text/tokenizer/normalizer.h"

#include <algorithm>
#include <cstddef>
#include <cstdint>

#include "base/checked_math.h"
#include "text/tokenizer/utf8.h"

namespace pelton::tokenizer {

namespace {

// Changes one character at a time: `change(code_point, out)` appends what becomes of it.
template <typename Change>
class CharacterStep final : public NormalizeStep {
 public:
  CharacterStep(NormalizeEffect effect, Change change) : NormalizeStep(effect), change_(change) {}
  std::string Apply(std::string_view text) const override {
    std::string out;
    out.reserve(text.size());
    for (size_t pos = 0; pos < text.size();) change_(DecodeUtf8(text, &pos), &out);
    return out;
  }

 private:
  Change change_;
};

template <typename Function>
class WholeStep final : public NormalizeStep {
 public:
  WholeStep(NormalizeEffect effect, Function function)
      : NormalizeStep(effect), function_(std::move(function)) {}
  std::string Apply(std::string_view text) const override { return function_(text); }

 private:
  Function function_;
};

template <typename Change>
std::unique_ptr<NormalizeStep> PerCharacter(NormalizeEffect effect, Change change) {
  return std::make_unique<CharacterStep<Change>>(effect, change);
}

template <typename Function>
std::unique_ptr<NormalizeStep> PerText(NormalizeEffect effect, Function function) {
  return std::make_unique<WholeStep<Function>>(effect, std::move(function));
}

// The Kelvin sign of three bytes becomes "k". U+1FBE, U+0308 and U+0301, together seven bytes, are
// composed to two. A test goes through all characters.
constexpr NormalizeEffect kLowerCase{.shrink = 3, .ascii_shrink = 1, .keeps_words = true};
constexpr NormalizeEffect kNormalForm{.shrink = 4, .ascii_shrink = 1};

// The blocks that BERT calls Chinese characters.
bool IsChinese(uint32_t c) {
  return (c >= 0x4E00 && c <= 0x9FFF) || (c >= 0x3400 && c <= 0x4DBF) ||
         (c >= 0x20000 && c <= 0x2A6DF) || (c >= 0x2A700 && c <= 0x2B73F) ||
         (c >= 0x2B740 && c <= 0x2B81F) || (c >= 0x2B920 && c <= 0x2CEAF) ||
         (c >= 0xF900 && c <= 0xFAFF) || (c >= 0x2F800 && c <= 0x2FA1F);
}

void AppendClean(uint32_t c, const BertOptions& options, std::string* out) {
  if (options.clean_text) {
    const bool is_break = c == '\t' || c == '\n' || c == '\r';
    const uint16_t classes = CharClasses(c);
    if (c == 0 || c == kReplacementCharacter || (!is_break && (classes & kControl))) return;
    if (classes & kSpace) {
      out->push_back(' ');
      return;
    }
  }
  const bool spaced = options.space_chinese && IsChinese(c);
  if (spaced) out->push_back(' ');
  AppendUtf8(c, out);
  if (spaced) out->push_back(' ');
}

void AppendUnlessNonspacing(uint32_t c, std::string* out) {
  if (!(CharClasses(c) & kNonspacing)) AppendUtf8(c, out);
}

std::string ReplaceText(std::string_view text, std::string_view from, std::string_view to) {
  std::string out;
  size_t done = 0;
  for (size_t at = text.find(from); at != std::string_view::npos; at = text.find(from, done)) {
    out.append(text.substr(done, at - done)).append(to);
    done = at + from.size();
  }
  return out.append(text.substr(done));
}

std::string ReplaceMatches(std::string_view text, const Regex& regex, std::string_view to) {
  std::string out;
  RegexSearch search(regex);
  size_t done = 0;
  for (size_t from = 0; from <= text.size();) {
    const std::optional<RegexSearch::Match> match = search.Find(text, from);
    if (!match) break;
    out.append(text.substr(done, match->start - done)).append(to);
    done = from = match->end;
    if (match->end > match->start) continue;
    if (from == text.size()) break;
    DecodeUtf8(text, &from);  // an empty match: the next begins behind the next character
  }
  return out.append(text.substr(done));
}

std::string Stripped(std::string_view text, bool left, bool right) {
  while (left && !text.empty()) {
    size_t pos = 0;
    if (!(CharClasses(DecodeUtf8(text, &pos)) & kSpace)) break;
    text.remove_prefix(pos);
  }
  while (right && !text.empty()) {
    const size_t start = PreviousCharacter(text, text.size());
    size_t pos = start;
    if (!(CharClasses(DecodeUtf8(text, &pos)) & kSpace)) break;
    text.remove_suffix(text.size() - start);
  }
  return std::string(text);
}

}  // namespace

NormalizeEffect Normalizer::effect() const {
  NormalizeEffect all{.shrink = 1, .keeps_words = true};
  for (const std::unique_ptr<NormalizeStep>& step : steps_) {
    const NormalizeEffect one = step->effect();
    // Only for the first it is known which bytes are ASCII.
    const size_t ascii = &step == &steps_.front() ? one.ascii_shrink : one.shrink;
    all.shrink = CheckedMul(all.shrink, one.shrink).value_or(0);
    all.ascii_shrink = CheckedMul(all.ascii_shrink, ascii).value_or(0);
    all.keeps_words = all.keeps_words && one.keeps_words;
  }
  return all;
}

std::unique_ptr<NormalizeStep> MakeNormalForm(NormalForm form) {
  return PerText(kNormalForm, [form](std::string_view text) { return Normalize(text, form); });
}

std::unique_ptr<NormalizeStep> MakeLowerCase() { return PerCharacter(kLowerCase, AppendLowerCase); }

std::unique_ptr<NormalizeStep> MakeStripAccents() {
  return PerCharacter({.keeps_words = true}, AppendUnlessNonspacing);
}

std::unique_ptr<NormalizeStep> MakeStrip(bool left, bool right) {
  return PerText({}, [left, right](std::string_view text) { return Stripped(text, left, right); });
}

std::unique_ptr<NormalizeStep> MakePrepend(std::string prefix) {
  return PerText({.shrink = 1}, [prefix = std::move(prefix)](std::string_view text) {
    return prefix + std::string(text);
  });
}

std::unique_ptr<NormalizeStep> MakeReplace(std::string from, std::string to) {
  const size_t shrink = to.empty() ? 0 : std::max<size_t>(1, DivUp(from.size(), to.size()));
  return PerText({.shrink = shrink},
                 [from = std::move(from), to = std::move(to)](std::string_view text) {
                   return ReplaceText(text, from, to);
                 });
}

std::unique_ptr<NormalizeStep> MakeRegexReplace(Regex from, std::string to) {
  return PerText({}, [from = std::move(from), to = std::move(to)](std::string_view text) {
    return ReplaceMatches(text, from, to);
  });
}

std::unique_ptr<NormalizeStep> MakeBertNormalizer(BertOptions options) {
  return PerText({.keeps_words = true}, [options](std::string_view text) {
    std::string out;
    for (size_t pos = 0; pos < text.size();) {
      AppendClean(DecodeUtf8(text, &pos), options, &out);
    }
    if (options.strip_accents) {
      out = MakeStripAccents()->Apply(Normalize(out, NormalForm::kNfd));
    }
    return options.lower_case ? MakeLowerCase()->Apply(out) : out;
  });
}

}  // namespace pelton::tokenizer
