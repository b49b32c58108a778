#include "text/tokenizer/charsmap.h"

#include <utf8proc.h>

#include <algorithm>
#include <cstring>
#include <utility>

#include "text/tokenizer/utf8.h"

namespace pelton::tokenizer {

namespace {

// Longer graphemes are mapped character by character. Source: huggingface/spm_precompiled.
constexpr size_t kLongGrapheme = 6;

// The fields of a unit of the double array.
bool HasLeaf(uint32_t unit) { return (unit >> 8 & 1) != 0; }
uint32_t Value(uint32_t unit) { return unit & 0x7FFFFFFF; }
uint32_t Label(uint32_t unit) { return unit & 0x800000FF; }
uint32_t Offset(uint32_t unit) { return (unit >> 10) << ((unit & 0x200) >> 6); }

class SentencePieceNormalizer final : public NormalizeStep {
 public:
  // A map may map to nothing.
  explicit SentencePieceNormalizer(SentencePieceNormalization options)
      : NormalizeStep({.shrink = options.charsmap || options.remove_extra_spaces ? 0u : 1u}),
        options_(std::move(options)) {}

  std::string Apply(std::string_view text) const override {
    if (options_.remove_extra_spaces) {
      while (!text.empty()) {
        const Charsmap::Mapping mapping = Next(text);
        if (mapping.text != " ") break;
        text.remove_prefix(mapping.size);
      }
    }
    std::string out;
    if (text.empty()) return out;
    out.reserve(text.size() + text.size() / 4);
    const std::string_view space = options_.escape_spaces ? kSpaceMark : " ";
    if (options_.dummy_prefix && !options_.dummy_suffix) out.append(space);
    bool after_space = options_.remove_extra_spaces;
    while (!text.empty()) {
      const Charsmap::Mapping mapping = Next(text);
      text.remove_prefix(mapping.size);
      std::string_view changed = mapping.text;
      while (after_space && changed.starts_with(' ')) changed.remove_prefix(1);
      if (changed.empty()) continue;
      for (const char c : changed) {
        if (c == ' ') {
          out.append(space);
        } else {
          out.push_back(c);
        }
      }
      after_space = options_.remove_extra_spaces && changed.ends_with(' ');
    }
    while (options_.remove_extra_spaces && out.ends_with(space)) {
      out.resize(out.size() - space.size());
    }
    if (options_.dummy_prefix && options_.dummy_suffix) out.append(space);
    return out;
  }

 private:
  Charsmap::Mapping Next(std::string_view text) const {
    if (options_.charsmap) {
      if (const auto mapping = options_.charsmap->Longest(text)) return *mapping;
    }
    size_t pos = 0;
    DecodeUtf8(text, &pos);
    return {pos, text.substr(0, pos)};
  }

  SentencePieceNormalization options_;
};

class GraphemeCharsmap final : public NormalizeStep {
 public:
  explicit GraphemeCharsmap(Charsmap charsmap) : charsmap_(std::move(charsmap)) {}

  std::string Apply(std::string_view text) const override {
    std::string out;
    out.reserve(text.size());
    for (size_t start = 0; start < text.size();) {
      const size_t end = GraphemeEnd(text, start);
      AppendGrapheme(text.substr(start, end - start), &out);
      start = end;
    }
    return out;
  }

 private:
  static size_t GraphemeEnd(std::string_view text, size_t start) {
    size_t end = start;
    utf8proc_int32_t state = 0;
    auto previous = static_cast<utf8proc_int32_t>(DecodeUtf8(text, &end));
    while (end < text.size()) {
      size_t next_end = end;
      const auto next = static_cast<utf8proc_int32_t>(DecodeUtf8(text, &next_end));
      if (utf8proc_grapheme_break_stateful(previous, next, &state)) break;
      previous = next;
      end = next_end;
    }
    return end;
  }

  void AppendGrapheme(std::string_view grapheme, std::string* out) const {
    if (grapheme.size() < kLongGrapheme) {
      if (const auto mapping = charsmap_.Shortest(grapheme)) {
        out->append(mapping->text);
        return;
      }
    }
    for (size_t pos = 0; pos < grapheme.size();) {
      const size_t start = pos;
      DecodeUtf8(grapheme, &pos);
      const std::string_view character = grapheme.substr(start, pos - start);
      const auto mapping = charsmap_.Shortest(character);
      out->append(mapping ? mapping->text : character);
    }
  }

  Charsmap charsmap_;
};

}  // namespace

Result<Charsmap> Charsmap::FromBytes(std::span<const std::byte> bytes) {
  uint32_t trie_bytes = 0;
  if (bytes.size() < sizeof(trie_bytes)) {
    return DataLoss("the character map has " + std::to_string(bytes.size()) +
                    " bytes, expected at least 4");
  }
  std::memcpy(&trie_bytes, bytes.data(), sizeof(trie_bytes));
  const std::span<const std::byte> rest = bytes.subspan(sizeof(trie_bytes));
  if (trie_bytes > rest.size() || trie_bytes == 0 || trie_bytes % sizeof(uint32_t) != 0) {
    return DataLoss("the character map's trie has " + std::to_string(trie_bytes) +
                    " bytes, expected a multiple of 4 of at most " + std::to_string(rest.size()));
  }
  Charsmap map;
  map.units_.resize(trie_bytes / sizeof(uint32_t));
  std::memcpy(map.units_.data(), rest.data(), trie_bytes);
  const std::string_view results(reinterpret_cast<const char*>(rest.data()) + trie_bytes,
                                 rest.size() - trie_bytes);
  // What a damaged map puts into a text must still be UTF-8.
  std::string replaced;
  map.results_ = ReplaceInvalidUtf8(results, &replaced);
  return map;
}

std::optional<Charsmap::Mapping> Charsmap::Find(std::string_view text, bool shortest) const {
  std::optional<Mapping> found;
  size_t node = Offset(units_[0]);
  for (size_t i = 0; i < text.size(); ++i) {
    const auto byte = static_cast<unsigned char>(text[i]);
    node ^= byte;
    if (node >= units_.size() || Label(units_[node]) != byte) break;
    const uint32_t unit = units_[node];
    node ^= Offset(unit);
    if (!HasLeaf(unit)) continue;
    if (node >= units_.size()) break;
    const size_t start = Value(units_[node]);
    if (start > results_.size()) continue;
    const size_t end = std::min(results_.find('\0', start), results_.size());
    const std::string_view result = std::string_view(results_).substr(start, end - start);
    const bool splits_character = (i + 1 < text.size() && (text[i + 1] & 0xC0) == 0x80) ||
                                  (!result.empty() && (result[0] & 0xC0) == 0x80);
    if (splits_character) continue;
    found = Mapping{i + 1, result};
    if (shortest) break;
  }
  return found;
}

std::unique_ptr<NormalizeStep> MakeSentencePieceNormalizer(SentencePieceNormalization options) {
  return std::make_unique<SentencePieceNormalizer>(std::move(options));
}

std::unique_ptr<NormalizeStep> MakeGraphemeCharsmap(Charsmap charsmap) {
  return std::make_unique<GraphemeCharsmap>(std::move(charsmap));
}

}  // namespace pelton::tokenizer
