#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "base/status.h"
#include "text/tokenizer/normalizer.h"

namespace pelton::tokenizer {

// SentencePiece's precompiled character map: what short runs of bytes become. The file holds the
// size of a double-array trie in bytes, the trie, and the results, each ended by a zero byte.
// Source: google/sentencepiece, src/normalizer.cc and third_party/darts_clone.
class Charsmap {
 public:
  // DataLoss if the sizes contradict each other. The content is checked as it is used: a damaged
  // one maps to something else, never outside.
  static Result<Charsmap> FromBytes(std::span<const std::byte> bytes);

  struct Mapping {
    size_t size;  // bytes that are replaced, > 0
    std::string_view text;
  };
  // What a prefix of `text` becomes: the longest that is mapped, or the shortest.
  std::optional<Mapping> Longest(std::string_view text) const { return Find(text, false); }
  std::optional<Mapping> Shortest(std::string_view text) const { return Find(text, true); }

 private:
  std::optional<Mapping> Find(std::string_view text, bool shortest) const;

  std::vector<uint32_t> units_;
  std::string results_;
};

// How SentencePiece prepares a text.
struct SentencePieceNormalization {
  std::optional<Charsmap> charsmap;
  bool dummy_prefix = true;         // a space before the text
  bool dummy_suffix = false;        // behind it instead
  bool remove_extra_spaces = true;  // at the ends, and all but one elsewhere
  bool escape_spaces = true;        // a space is written U+2581
};
std::unique_ptr<NormalizeStep> MakeSentencePieceNormalizer(SentencePieceNormalization options);

// The same map as tokenizer.json applies it: grapheme by grapheme, the shortest match.
std::unique_ptr<NormalizeStep> MakeGraphemeCharsmap(Charsmap charsmap);

}  // namespace pelton::tokenizer
