#pragma once

#include <cstddef>
#include <span>
#include <string_view>

#include "base/status.h"

namespace pelton {

// Anonymous memory for weights, activations or the KV cache: zeroed, page-aligned, in huge pages
// where the system grants them. Movable; freed at the end.
class Arena {
 public:
  Arena() = default;
  // ResourceExhausted, naming `what` and the size, if the system refuses. The memory is promised,
  // not taken: pages are taken when they are written first (see available_memory.h).
  static Result<Arena> Allocate(size_t bytes, std::string_view what);

  Arena(Arena&& other) noexcept;
  Arena& operator=(Arena&& other) noexcept;
  Arena(const Arena&) = delete;
  Arena& operator=(const Arena&) = delete;
  ~Arena();

  std::byte* data() const { return data_; }
  size_t size() const { return size_; }

 private:
  Arena(std::byte* data, size_t size) : data_(data), size_(size) {}

  std::byte* data_ = nullptr;
  size_t size_ = 0;
};

}  // namespace pelton
