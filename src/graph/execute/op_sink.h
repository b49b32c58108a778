#pragma once

#include <atomic>
#include <cstddef>
#include <cstdint>

namespace pelton {

// Receives the times of a plan's ops while it is active. An executor looks once a step.
class OpSink {
 public:
  virtual ~OpSink() = default;
  bool active() const { return active_.load(std::memory_order_acquire); }

  // An op of the plan, by its place in the order of running, with the kernel in use and
  // steady-clock times from its start to the last worker's end. Called by the thread that runs the
  // step; must not allocate. `impl` is a literal.
  virtual void OnOp(size_t op_idx, const char* impl, int64_t start_ns, int64_t end_ns) = 0;

 protected:
  std::atomic<bool> active_{false};
};

}  // namespace pelton
