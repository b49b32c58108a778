#include "base/arena.h"

#include <fmt/format.h>
#include <sys/mman.h>

#include <algorithm>
#include <utility>

#include "base/checked_math.h"

namespace pelton {
namespace {

constexpr size_t kHugePage = size_t{2} << 20;

}  // namespace

Result<Arena> Arena::Allocate(size_t bytes, std::string_view what) {
  const std::optional<size_t> rounded = CheckedAlignUp(std::max<size_t>(bytes, 1), kHugePage);
  // One more huge page, so that the arena can begin on one.
  const std::optional<size_t> total = rounded ? CheckedAdd(*rounded, kHugePage) : std::nullopt;
  if (!total) return ResourceExhausted(fmt::format("{}: {} bytes do not fit", what, bytes));
  void* map = ::mmap(nullptr, *total, PROT_READ | PROT_WRITE,
                     MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
  if (map == MAP_FAILED) {
    return ResourceExhausted(fmt::format("{}: the system refuses {} MiB", what, *total >> 20));
  }
  auto* base = static_cast<std::byte*>(map);
  const auto address = reinterpret_cast<uintptr_t>(base);
  const size_t before = RoundUp(address, kHugePage) - address;
  if (before > 0) ::munmap(base, before);
  if (before < kHugePage) ::munmap(base + before + *rounded, kHugePage - before);
  // A small arena is not worth whole huge pages.
  if (bytes >= kHugePage) ::madvise(base + before, *rounded, MADV_HUGEPAGE);
  return Arena(base + before, *rounded);
}

Arena::Arena(Arena&& other) noexcept
    : data_(std::exchange(other.data_, nullptr)), size_(std::exchange(other.size_, 0)) {}

Arena& Arena::operator=(Arena&& other) noexcept {
  std::swap(data_, other.data_);
  std::swap(size_, other.size_);
  return *this;
}

Arena::~Arena() {
  if (data_ != nullptr) ::munmap(data_, size_);
}

}  // namespace pelton
