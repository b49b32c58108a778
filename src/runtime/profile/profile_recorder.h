#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <vector>

#include "base/mutex.h"
#include "graph/execute/op_sink.h"

namespace pelton {

// One forward pass.
struct ProfiledStep {
  int64_t start_ns = 0;
  int64_t end_ns = 0;
  size_t tokens = 0;
  size_t sequences = 0;
};

// One op of one step.
struct ProfiledOp {
  int64_t start_ns = 0;
  int64_t end_ns = 0;
  size_t op_idx = 0;  // in the plan
  const char* impl = "";
};

// A sequence that has ended. Times that did not come to pass are -1.
struct ProfiledRequest {
  uint64_t id = 0;
  int64_t submitted_ns = 0;
  int64_t started_ns = -1;
  int64_t first_token_ns = -1;
  int64_t end_ns = 0;
  size_t prompt_tokens = 0;
  size_t cached_tokens = 0;
  size_t output_tokens = 0;
};

// What was recorded, oldest first, and how much of each kind was overwritten.
struct ProfileRecord {
  std::vector<ProfiledStep> steps;
  std::vector<ProfiledOp> ops;
  std::vector<ProfiledRequest> requests;
  uint64_t lost = 0;
};

// Records what an engine does between Start and Stop into rings of fixed size; the newest stay.
// Stopped it costs its callers a load and a branch, and holds no memory. Any thread.
class ProfileRecorder final : public OpSink {
 public:
  static constexpr size_t kDefaultOps = size_t{1} << 19;  // 16 MiB

  // False if it records already. Requires: most_ops > 0.
  bool Start(size_t most_ops = kDefaultOps);
  // Ends recording, after a step in progress (which it awaits for a second at most); empty if
  // nothing was started. Not on the engine's thread.
  ProfileRecord Stop();

  void OnOp(size_t op_idx, const char* impl, int64_t start_ns, int64_t end_ns) override;
  void OnStepBegin();
  void OnStep(const ProfiledStep& step);
  void OnRequest(const ProfiledRequest& request);

 private:
  template <typename T>
  struct Ring {
    std::vector<T> slots;
    uint64_t count = 0;  // ever added

    void Add(const T& item);
    std::vector<T> Take(uint64_t* lost);
  };

  Mutex mutex_;
  bool in_step_ GUARDED_BY(mutex_) = false;
  Ring<ProfiledStep> steps_ GUARDED_BY(mutex_);
  Ring<ProfiledOp> ops_ GUARDED_BY(mutex_);
  Ring<ProfiledRequest> requests_ GUARDED_BY(mutex_);
};

}  // namespace pelton
