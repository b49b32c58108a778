#pragma once

#include <bit>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <span>
#include <string_view>
#include <type_traits>

namespace pelton {

static_assert(std::endian::native == std::endian::little, "file formats are read in place");

// Reads little-endian values from untrusted bytes, front to back. A read past the end gives
// false, leaves the output and the position as they were, and never touches memory outside.
class ByteCursor {
 public:
  explicit ByteCursor(std::span<const std::byte> bytes) : bytes_(bytes) {}

  size_t position() const { return position_; }
  size_t left() const { return bytes_.size() - position_; }

  template <typename T>
  requires std::is_trivially_copyable_v<T>
  [[nodiscard]] bool Read(T* out) {
    if (left() < sizeof(T)) return false;
    std::memcpy(out, bytes_.data() + position_, sizeof(T));
    position_ += sizeof(T);
    return true;
  }

  // `count` bytes in place, borrowed from the cursor's input.
  [[nodiscard]] bool ReadBytes(uint64_t count, std::span<const std::byte>* out) {
    if (count > left()) return false;
    *out = bytes_.subspan(position_, static_cast<size_t>(count));
    position_ += static_cast<size_t>(count);
    return true;
  }

  [[nodiscard]] bool ReadText(uint64_t count, std::string_view* out) {
    std::span<const std::byte> text;
    if (!ReadBytes(count, &text)) return false;
    *out = {reinterpret_cast<const char*>(text.data()), text.size()};
    return true;
  }

  [[nodiscard]] bool Skip(uint64_t count) {
    std::span<const std::byte> ignored;
    return ReadBytes(count, &ignored);
  }

  // Whether `count` elements of at least `min_element_bytes` each can still follow; ask before
  // allocating for a count that the input states. Requires: min_element_bytes > 0.
  bool CanHold(uint64_t count, size_t min_element_bytes) const {
    return count <= left() / min_element_bytes;
  }

 private:
  std::span<const std::byte> bytes_;
  size_t position_ = 0;
};

}  // namespace pelton
