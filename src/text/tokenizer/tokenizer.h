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
#include "text/tokenizer/vocab_metadata.h"

namespace pelton {

namespace tokenizer {
struct TokenizerParts;
}

struct EncodeOptions {
  // Whether the text of special tokens ("<|im_end|>") becomes that token. Otherwise it is ordinary
  // text. Added tokens that are not special ("<think>" in many models) are recognised always.
  bool parse_special = true;
  // Whether what the model expects around a text (BOS, EOS, [CLS] and [SEP]) is added.
  bool add_special = false;
};

// Text to token ids and back, for one vocabulary. Immutable: every const method may be called from
// any number of threads at once. Time and memory are linear in the text, up to a logarithm.
class Tokenizer {
 public:
  explicit Tokenizer(tokenizer::TokenizerParts parts);
  ~Tokenizer();
  Tokenizer(const Tokenizer&) = delete;
  Tokenizer& operator=(const Tokenizer&) = delete;

  // Number of ids, holes included: ids are [0, vocab_size()).
  size_t vocab_size() const;

  // `text` may be any bytes: each maximal part that is not UTF-8 counts as one U+FFFD.
  std::vector<int32_t> Encode(std::string_view text, EncodeOptions options = {}) const;

  // A number of tokens that `text` has at least, whatever the options; found without any of them,
  // in a look at each byte at most. Often a fraction of the true number, and 0 where the tokenizer
  // may make one token, or none, of any text.
  size_t MinTokens(std::string_view text) const;

  // The tokens' bytes, joined, less the dummy prefix; then each maximal part that is not UTF-8
  // becomes U+FFFD. Ids outside the vocabulary contribute nothing.
  std::string Decode(std::span<const int32_t> ids, bool skip_special = true) const;

  // What the token contributes to a text, as raw bytes that need not be UTF-8 by themselves; a
  // word's leading space included. Empty if `id` is not in the vocabulary.
  std::string_view Piece(int32_t id) const;

  // Control and unknown tokens: those that Decode leaves out with skip_special. False if `id` is
  // not in the vocabulary.
  bool IsSpecial(int32_t id) const;
  // Whether a model that produces this token has finished its answer.
  bool IsEndOfGeneration(int32_t id) const;
  std::span<const int32_t> end_of_generation_ids() const;  // ascending

  std::optional<int32_t> bos_id() const;
  std::optional<int32_t> eos_id() const;
  // The token that ends a turn in a chat; often the same as eos_id().
  std::optional<int32_t> eot_id() const;
  std::optional<int32_t> unknown_id() const;
  std::optional<int32_t> padding_id() const;
  // Whether Encode with add_special starts with bos_id().
  bool adds_bos() const;

  // The token that has exactly this text: an added token's content, or a vocabulary entry as text
  // ("\xe2\x96\x81the" for SentencePiece, " the" for byte-level BPE, "##ing" for WordPiece).
  std::optional<int32_t> TokenId(std::string_view text) const;

  // Whether the first space of a decoded text is the tokenizer's own.
  bool strips_first_space() const;

 private:
  std::unique_ptr<const tokenizer::TokenizerParts> parts_;
};

// Turns ids into text one at a time. The deltas, joined, are exactly Tokenizer::Decode of the ids.
// One thread at a time. Borrows the tokenizer.
class StreamDecoder {
 public:
  explicit StreamDecoder(const Tokenizer& tokenizer, bool skip_special = true)
      : tokenizer_(&tokenizer), skip_special_(skip_special) {}

  // The text that `id` completes: valid UTF-8, empty while a character is still incomplete.
  std::string Feed(int32_t id);
  // Ends the text: an incomplete character becomes U+FFFD. The decoder then starts anew.
  std::string Flush();

 private:
  const Tokenizer* tokenizer_;
  bool skip_special_;
  bool started_ = false;
  std::string held_;  // the begin of a character or of a surrogate, at most three bytes
};

// From GGUF metadata (`tokenizer.ggml.*`): models "gpt2", "llama", "t5", "bert" and "gemma4".
// InvalidArgument or DataLoss if the metadata contradicts itself, Unimplemented for another model
// or an unknown `tokenizer.ggml.pre`. Nothing is kept of `metadata`.
Result<std::unique_ptr<Tokenizer>> TokenizerFromMetadata(const VocabMetadata& metadata);

// From the text of a Hugging Face `tokenizer.json`. It does not say which tokens are BOS and EOS;
// `config_json`, the text of `tokenizer_config.json`, does, and may be empty: then they are
// derived from the post-processor and from the usual names. InvalidArgument if either is not JSON
// or not of the right form, Unimplemented (naming it) for a component that is not supported.
Result<std::unique_ptr<Tokenizer>> TokenizerFromJson(std::string_view json,
                                                     std::string_view config_json = {});

// From the bytes of a SentencePiece `.model` (protocol buffer ModelProto). With add_special, BOS
// is added if the model has one; EOS is added if it has none (as T5 wants).
Result<std::unique_ptr<Tokenizer>> TokenizerFromSentencePiece(std::span<const std::byte> model);

}  // namespace pelton
