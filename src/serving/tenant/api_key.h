#pragma once

#include <array>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

#include "net/http/server.h"

namespace pelton {

// What is kept of a key: its SHA-256. Keys that we make are 256 random bits, so that their digests
// tell nothing about them.
using KeyDigest = std::array<uint8_t, 32>;

KeyDigest DigestOf(std::string_view key);
// In time that does not depend on where they differ.
bool SameDigest(const KeyDigest& a, const KeyDigest& b);

// "sk-pelton-" and 43 letters of base64url, from the system's random source.
std::string NewApiKey();
// `bytes` random bytes as lower-case hexadecimal digits.
std::string RandomHex(size_t bytes);

std::string HexOf(const KeyDigest& digest);
// Nothing unless `hex` is 64 lower-case hexadecimal digits.
std::optional<KeyDigest> DigestOfHex(std::string_view hex);

// The key that a request brings, "Authorization: Bearer KEY" or "X-Api-Key: KEY"; empty if none.
std::string_view KeyOf(const HttpRequest& request);

}  // namespace pelton
