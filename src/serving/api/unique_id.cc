#include "serving/api/unique_id.h"

#include <sys/random.h>

#include <cstddef>
#include <cstdint>

namespace pelton {

std::string UniqueId(std::string_view prefix) {
  constexpr char kLetters[] = "abcdefghijklmnopqrstuvwxyz234567";
  uint8_t bytes[24];
  size_t filled = 0;
  while (filled < sizeof(bytes)) {
    const ssize_t got = ::getrandom(bytes + filled, sizeof(bytes) - filled, 0);
    if (got > 0) filled += static_cast<size_t>(got);
  }
  std::string id(prefix);
  for (const uint8_t byte : bytes) id += kLetters[byte % 32];
  return id;
}

}  // namespace pelton
