#include "runtime/profile/profile_recorder.h"

#include <algorithm>
#include <chrono>
#include <thread>
#include <utility>

#include "base/check.h"

namespace pelton {
namespace {

// A step has at least a few ops, and a request at least a step.
constexpr size_t kOpsPerStep = 8;
constexpr int64_t kMostWaitMs = 1000;

}  // namespace

template <typename T>
void ProfileRecorder::Ring<T>::Add(const T& item) {
  if (slots.empty()) return;  // stopped since the caller looked
  slots[count++ % slots.size()] = item;
}

template <typename T>
std::vector<T> ProfileRecorder::Ring<T>::Take(uint64_t* lost) {
  std::vector<T> taken = std::move(slots);
  slots = {};
  if (count <= taken.size()) {
    taken.resize(static_cast<size_t>(count));
  } else {
    *lost += count - taken.size();
    std::rotate(taken.begin(), taken.begin() + static_cast<ptrdiff_t>(count % taken.size()),
                taken.end());
  }
  count = 0;
  return taken;
}

bool ProfileRecorder::Start(size_t most_ops) {
  PELTON_CHECK(most_ops > 0, "there is room for something");
  const MutexLock lock(mutex_);
  if (active()) return false;
  ops_.slots.resize(most_ops);
  steps_.slots.resize(most_ops / kOpsPerStep + 1);
  requests_.slots.resize(most_ops / kOpsPerStep + 1);
  in_step_ = false;
  active_.store(true, std::memory_order_release);
  return true;
}

ProfileRecord ProfileRecorder::Stop() {
  // Whoever waits for an answer is told before its last step ends.
  for (int64_t waited_ms = 0; waited_ms < kMostWaitMs; ++waited_ms) {
    {
      const MutexLock lock(mutex_);
      if (!in_step_) break;
    }
    std::this_thread::sleep_for(std::chrono::milliseconds(1));
  }
  const MutexLock lock(mutex_);
  active_.store(false, std::memory_order_release);
  ProfileRecord record;
  record.steps = steps_.Take(&record.lost);
  record.ops = ops_.Take(&record.lost);
  record.requests = requests_.Take(&record.lost);
  return record;
}

void ProfileRecorder::OnOp(size_t op_idx, const char* impl, int64_t start_ns, int64_t end_ns) {
  const MutexLock lock(mutex_);
  ops_.Add({.start_ns = start_ns, .end_ns = end_ns, .op_idx = op_idx, .impl = impl});
}

void ProfileRecorder::OnStepBegin() {
  const MutexLock lock(mutex_);
  in_step_ = active();
}

void ProfileRecorder::OnStep(const ProfiledStep& step) {
  const MutexLock lock(mutex_);
  in_step_ = false;
  steps_.Add(step);
}

void ProfileRecorder::OnRequest(const ProfiledRequest& request) {
  const MutexLock lock(mutex_);
  requests_.Add(request);
}

}  // namespace pelton
