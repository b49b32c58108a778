#include "text/tokenizer/byte_alphabet.h"

#include <array>

#include "text/tokenizer/utf8.h"

namespace pelton::tokenizer {

namespace {

constexpr bool IsPrintable(unsigned byte) {
  return (byte >= '!' && byte <= '~') || (byte >= 0xA1 && byte != 0xAD);
}

constexpr unsigned kAlphabetEnd = 0x100 + 68;  // 68 bytes are not printable

constexpr std::array<int16_t, kAlphabetEnd> MakeAlphabet() {
  std::array<int16_t, kAlphabetEnd> bytes{};
  for (int16_t& byte : bytes) byte = -1;
  unsigned next = 0x100;
  for (unsigned byte = 0; byte < 256; ++byte) {
    bytes[IsPrintable(byte) ? byte : next++] = static_cast<int16_t>(byte);
  }
  return bytes;
}

constexpr std::array<int16_t, kAlphabetEnd> kAlphabet = MakeAlphabet();

}  // namespace

int ByteOfCharacter(uint32_t code_point) {
  return code_point < kAlphabetEnd ? kAlphabet[code_point] : -1;
}

bool AppendBytesOf(std::string_view text, std::string* out) {
  const size_t size_before = out->size();
  for (size_t pos = 0; pos < text.size();) {
    const int byte = ByteOfCharacter(DecodeUtf8(text, &pos));
    if (byte < 0) {
      out->resize(size_before);
      return false;
    }
    out->push_back(static_cast<char>(byte));
  }
  return true;
}

}  // namespace pelton::tokenizer
