#include "serving/tenant/api_key.h"

#include <openssl/crypto.h>
#include <openssl/rand.h>
#include <openssl/sha.h>

#include <span>

#include "base/check.h"

namespace pelton {
namespace {

constexpr std::string_view kHexDigits = "0123456789abcdef";

bool SameWord(std::string_view a, std::string_view b) {
  if (a.size() != b.size()) return false;
  for (size_t i = 0; i < a.size(); ++i) {
    if ((a[i] | 0x20) != (b[i] | 0x20)) return false;
  }
  return true;
}

void FillRandom(std::span<uint8_t> bytes) {
  const int ok = ::RAND_bytes(bytes.data(), static_cast<int>(bytes.size()));
  PELTON_CHECK(ok == 1, "the system has random bytes");
}

std::string Hex(std::span<const uint8_t> bytes) {
  std::string hex;
  for (const uint8_t byte : bytes) {
    hex += kHexDigits[byte >> 4];
    hex += kHexDigits[byte & 15];
  }
  return hex;
}

}  // namespace

KeyDigest DigestOf(std::string_view key) {
  KeyDigest digest;
  ::SHA256(reinterpret_cast<const unsigned char*>(key.data()), key.size(), digest.data());
  return digest;
}

bool SameDigest(const KeyDigest& a, const KeyDigest& b) {
  return ::CRYPTO_memcmp(a.data(), b.data(), a.size()) == 0;
}

std::string NewApiKey() {
  constexpr std::string_view kLetters =
      "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
  std::array<uint8_t, 32> bytes;
  FillRandom(bytes);
  std::string key = "sk-pelton-";
  uint32_t bits = 0;
  int count = 0;
  for (const uint8_t byte : bytes) {
    bits = bits << 8 | byte;
    for (count += 8; count >= 6; count -= 6) key += kLetters[bits >> (count - 6) & 63];
  }
  return key += kLetters[bits << (6 - count) & 63];
}

std::string RandomHex(size_t bytes) {
  std::string text(bytes, '\0');
  FillRandom({reinterpret_cast<uint8_t*>(text.data()), bytes});
  return Hex({reinterpret_cast<const uint8_t*>(text.data()), bytes});
}

std::string HexOf(const KeyDigest& digest) { return Hex(digest); }

std::optional<KeyDigest> DigestOfHex(std::string_view hex) {
  KeyDigest digest;
  if (hex.size() != 2 * digest.size()) return std::nullopt;
  for (size_t i = 0; i < digest.size(); ++i) {
    const size_t high = kHexDigits.find(hex[2 * i]), low = kHexDigits.find(hex[2 * i + 1]);
    if (high == std::string_view::npos || low == std::string_view::npos) return std::nullopt;
    digest[i] = static_cast<uint8_t>(high << 4 | low);
  }
  return digest;
}

std::string_view KeyOf(const HttpRequest& request) {
  const std::string_view authorization = request.Header("authorization");
  constexpr std::string_view kBearer = "bearer ";
  if (SameWord(authorization.substr(0, kBearer.size()), kBearer)) {
    std::string_view key = authorization.substr(kBearer.size());
    while (!key.empty() && key.front() == ' ') key.remove_prefix(1);
    return key;
  }
  return request.Header("x-api-key");
}

}  // namespace pelton
