#include "net/http/request_id.h"

#include <fmt/format.h>

#include <algorithm>
#include <atomic>
#include <cstdint>
#include <random>

namespace pelton {
namespace {

constexpr size_t kMaxBytes = 128;

uint64_t RandomWord() {
  std::random_device device;
  return uint64_t{device()} << 32 | device();
}

// The finisher of splitmix64 (Steele, Lea, Flood 2014): a bijection, so that counters stay apart.
uint64_t Mix(uint64_t word) {
  word = (word ^ (word >> 30)) * 0xBF58476D1CE4E5B9;
  word = (word ^ (word >> 27)) * 0x94D049BB133111EB;
  return word ^ (word >> 31);
}

}  // namespace

bool IsSafeRequestId(std::string_view text) {
  return !text.empty() && text.size() <= kMaxBytes &&
         std::all_of(text.begin(), text.end(), [](char c) {
           return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') ||
                  c == '.' || c == '_' || c == ':' || c == '-';
         });
}

std::string NewRequestId() {
  static const uint64_t process = RandomWord();
  static std::atomic<uint64_t> next{RandomWord()};
  return fmt::format("{:016x}{:016x}", process, Mix(next.fetch_add(1, std::memory_order_relaxed)));
}

}  // namespace pelton
