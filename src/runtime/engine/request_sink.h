#pragma once

#include <cstddef>
#include <cstdint>

#include "base/status.h"
#include "runtime/engine/request.h"

namespace pelton {

// What generates tokens for requests: an engine of this process, or what stands in for one. Any
// thread may call.
class RequestSink {
 public:
  virtual ~RequestSink() = default;

  // Checks and queues a request. Returns its id, or why it can never run (InvalidArgument,
  // ResourceExhausted) or cannot now (Unavailable); on failure no event happens.
  virtual Result<uint64_t> Submit(Request request) = 0;

  // OK if a request of this class and about this many prompt tokens would be queued now and its
  // first token is expected within `within_ns` (0: whenever); else Unavailable.
  virtual Status CheckLoad(ServiceClass service_class, size_t prompt_tokens, int64_t within_ns) = 0;
  // In how many seconds a request that was Unavailable is worth another try, 1 to 60.
  virtual uint32_t RetryAfterSeconds(ServiceClass service_class) = 0;

  // Ends a request soon, with kCancelled, unless it has finished; its observer may see one more
  // token. Any number of times, any id that Submit gave.
  virtual void Cancel(uint64_t id) = 0;

  // Gives a request no more tokens until Resume, because nobody takes them; its observer may see
  // those of one more step. It keeps its place among the requests that are counted, but no memory
  // of the KV cache; what it read and wrote is found there again or computed again. Ids as Cancel.
  virtual void Hold(uint64_t id) = 0;
  virtual void Resume(uint64_t id) = 0;

  // Requests that may wait at once; Submit refuses more.
  virtual size_t max_queued() const = 0;
};

}  // namespace pelton
