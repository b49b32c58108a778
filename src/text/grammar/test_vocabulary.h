#pragma once

#include <memory>
#include <string>

#include "text/tokenizer/tokenizer.h"

namespace pelton {

// For tests and fuzzing: a vocabulary of all 256 bytes and a few words, of byte-level BPE.
inline std::unique_ptr<Tokenizer> ByteVocabulary() {
  // The letters that byte-level vocabularies write bytes with.
  const auto letter = [](int byte) {
    const bool plain = (byte >= '!' && byte <= '~') || (byte >= 0xA1 && byte <= 0xAC) ||
                       (byte >= 0xAE && byte <= 0xFF);
    int code = byte;
    if (!plain) {
      code = 256;
      for (int i = 0; i < byte; ++i) {
        code += (i >= '!' && i <= '~') || (i >= 0xA1 && i <= 0xAC) || i >= 0xAE ? 0 : 1;
      }
    }
    std::string text;
    if (code < 0x80) {
      text += static_cast<char>(code);
    } else {
      text += static_cast<char>(0xC0 | code >> 6);
      text += static_cast<char>(0x80 | (code & 0x3F));
    }
    return text;
  };
  std::string vocab;
  for (int byte = 0; byte < 256; ++byte) {
    std::string text = letter(byte);
    if (text == "\"" || text == "\\") text.insert(0, "\\");
    vocab += (byte == 0 ? "\"" : ",\"") + text + "\":" + std::to_string(byte);
  }
  const std::string json =
      R"({"model":{"type":"BPE","vocab":{)" + vocab +
      R"(},"merges":[]},"added_tokens":[)"
      R"({"id":256,"content":"<end>","special":true},{"id":257,"content":"<call>","special":true},)"
      R"({"id":258,"content":"<think>","special":false}],)"
      R"("pre_tokenizer":{"type":"ByteLevel","add_prefix_space":false,"use_regex":true},)"
      R"("decoder":{"type":"ByteLevel"}})";
  return TokenizerFromJson(json, R"({"eos_token":"<end>"})").value();
}

}  // namespace pelton
