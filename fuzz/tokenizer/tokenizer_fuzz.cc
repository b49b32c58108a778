#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "base/check.h"
#include "text/tokenizer/tokenizer.h"

// The input's first byte says what the rest is: "j" a tokenizer.json, a zero byte, and a text; "m"
// a SentencePiece model, whose own bytes are the text; anything else a text for a vocabulary of all
// bytes, which must come back as it was, but for what is not UTF-8.

namespace {

using pelton::Tokenizer;

void CheckText(const Tokenizer& tokenizer, std::string_view text) {
  for (const bool parse_special : {true, false}) {
    const std::vector<int32_t> ids =
        tokenizer.Encode(text, {.parse_special = parse_special, .add_special = true});
    for (const int32_t id : ids) {
      PELTON_CHECK(id >= 0 && static_cast<size_t>(id) < tokenizer.vocab_size(),
                   "ids are of the vocabulary");
    }
    PELTON_CHECK(tokenizer.MinTokens(text) <=
                     tokenizer.Encode(text, {.parse_special = parse_special}).size(),
                 "a text has as many tokens as are sure");
    for (const bool skip_special : {true, false}) {
      pelton::StreamDecoder decoder(tokenizer, skip_special);
      std::string streamed;
      for (const int32_t id : ids) streamed += decoder.Feed(id);
      streamed += decoder.Flush();
      PELTON_CHECK(streamed == tokenizer.Decode(ids, skip_special), "deltas add up to the text");
    }
  }
}

// GPT-2's alphabet in JSON: the letter of each byte.
std::string ByteVocabulary() {
  std::string json = R"({"pre_tokenizer": {"type": "ByteLevel", "add_prefix_space": false},
    "decoder": {"type": "ByteLevel"}, "model": {"type": "BPE", "merges": [["a", "b"]],
    "vocab": {"ab": 256)";
  unsigned next = 0x100;
  for (unsigned byte = 0; byte < 256; ++byte) {
    const bool printable = (byte >= '!' && byte <= '~') || (byte >= 0xA1 && byte != 0xAD);
    const unsigned code_point = printable ? byte : next++;
    static constexpr char kHex[] = "0123456789abcdef";
    json += ", \"\\u0";
    for (const unsigned shift : {8u, 4u, 0u}) json += kHex[code_point >> shift & 15];
    json += "\": " + std::to_string(byte);
  }
  return json + "}}}";
}

void CheckRoundTrip(std::string_view text) {
  static const std::unique_ptr<Tokenizer> tokenizer =
      std::move(pelton::TokenizerFromJson(ByteVocabulary()).value());
  CheckText(*tokenizer, text);
  const std::string once = tokenizer->Decode(tokenizer->Encode(text));
  PELTON_CHECK(tokenizer->Decode(tokenizer->Encode(once)) == once, "UTF-8 comes back as it was");
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  if (size == 0) return 0;
  const std::string_view input(reinterpret_cast<const char*>(data) + 1, size - 1);
  if (data[0] == 'j') {
    const size_t zero = std::min(input.find('\0'), input.size());
    const auto made = pelton::TokenizerFromJson(input.substr(0, zero));
    if (made.ok()) CheckText(**made, input.substr(std::min(zero + 1, input.size())));
  } else if (data[0] == 'm') {
    const auto made = pelton::TokenizerFromSentencePiece(std::as_bytes(std::span(input)));
    if (made.ok()) CheckText(**made, input);
  } else {
    CheckRoundTrip(input);
  }
  return 0;
}
