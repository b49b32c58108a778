#pragma once

#include <cstddef>
#include <cstdint>
#include <limits>
#include <thread>
#include <vector>

#include "base/mutex.h"
#include "runtime/engine/request_sink.h"

namespace pelton {

// Stands in for an engine whose steps cost nothing: every request gets one more token in turn, as
// fast as the observers take them, always the same one, until its max_tokens.
class NullEngine final : public RequestSink {
 public:
  explicit NullEngine(int32_t token);
  ~NullEngine() override;

  Result<uint64_t> Submit(Request request) override;
  void Cancel(uint64_t id) override;
  // Readers that are measured keep up; others are cut off by the server.
  void Hold(uint64_t) override {}
  void Resume(uint64_t) override {}
  Status CheckLoad(ServiceClass, size_t, int64_t) override { return OkStatus(); }
  uint32_t RetryAfterSeconds(ServiceClass) override { return 1; }
  size_t max_queued() const override { return std::numeric_limits<size_t>::max(); }

 private:
  struct Live {
    uint64_t id;
    Request request;
    size_t tokens = 0;
    bool over = false;
  };
  void Loop();
  void Step(Live& live);

  const int32_t token_;
  std::vector<Live> live_;  // engine thread only
  Mutex mutex_;
  CondVar wake_;
  bool stopping_ GUARDED_BY(mutex_) = false;
  uint64_t next_id_ GUARDED_BY(mutex_) = 1;
  std::vector<Live> submitted_ GUARDED_BY(mutex_);
  std::vector<uint64_t> cancelled_ GUARDED_BY(mutex_);
  std::thread thread_;  // last: it starts when everything else is there
};

}  // namespace pelton
