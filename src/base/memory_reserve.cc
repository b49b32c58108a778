#include "base/memory_reserve.h"

#include <atomic>
#include <new>

namespace pelton {
namespace {

// What operator new calls when it finds no memory belongs to the process, and so does the reserve.
std::atomic<size_t> reserve_bytes{0};
std::atomic<void*> reserve{nullptr};

// After it returns, operator new tries again, and without a handler fails the next time.
void ReleaseReserve() {
  std::set_new_handler(nullptr);
  ::operator delete(reserve.exchange(nullptr));
}

bool SetAside() {
  void* memory = ::operator new(reserve_bytes.load(), std::nothrow);
  if (memory == nullptr) return false;
  // Another thread may have been quicker.
  void* nothing = nullptr;
  if (!reserve.compare_exchange_strong(nothing, memory)) {
    ::operator delete(memory);
    return true;
  }
  std::set_new_handler(&ReleaseReserve);
  return true;
}

}  // namespace

void ReserveMemory(size_t bytes) {
  reserve_bytes = bytes;
  SetAside();
}

bool MemoryIsShort() {
  if (reserve_bytes.load(std::memory_order_relaxed) == 0 || reserve.load() != nullptr) return false;
  return !SetAside();
}

}  // namespace pelton
