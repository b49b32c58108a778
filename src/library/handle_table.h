#pragma once

#include <atomic>
#include <cstdint>
#include <memory>
#include <unordered_map>
#include <utility>
#include <vector>

#include "base/mutex.h"

namespace pelton::library {

// A number that is never given twice, to a table of any type.
inline uint64_t NewHandle() {
  static std::atomic<uint64_t> last{0};
  // Not small and not even: no address of an object.
  return (last.fetch_add(1, std::memory_order_relaxed) + 0x1000) * 2 + 1;
}

// The objects that callers know by handles. A handle is a number and no address, so one that was
// closed, or never given, is not found instead of followed. Objects are shared with the calls in
// progress: another thread may close them meanwhile. Any thread.
template <typename Object>
class HandleTable {
 public:
  uint64_t Add(std::shared_ptr<Object> object) {
    const uint64_t handle = NewHandle();
    const MutexLock lock(mutex_);
    objects_.emplace(handle, std::move(object));
    return handle;
  }

  // Null: there is none.
  std::shared_ptr<Object> Find(uint64_t handle) {
    const MutexLock lock(mutex_);
    const auto found = objects_.find(handle);
    return found == objects_.end() ? nullptr : found->second;
  }

  // The object, which the table then no longer has.
  std::shared_ptr<Object> Remove(uint64_t handle) {
    const MutexLock lock(mutex_);
    const auto found = objects_.find(handle);
    if (found == objects_.end()) return nullptr;
    std::shared_ptr<Object> object = std::move(found->second);
    objects_.erase(found);
    return object;
  }

  std::vector<std::shared_ptr<Object>> All() {
    const MutexLock lock(mutex_);
    std::vector<std::shared_ptr<Object>> all;
    all.reserve(objects_.size());
    for (const auto& [handle, object] : objects_) all.push_back(object);
    return all;
  }

 private:
  Mutex mutex_;
  std::unordered_map<uint64_t, std::shared_ptr<Object>> objects_ GUARDED_BY(mutex_);
};

}  // namespace pelton::library
