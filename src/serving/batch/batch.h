#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "base/status.h"
#include "serving/batch/batch_line.h"
#include "serving/request/field_reader.h"

namespace pelton {

enum class BatchState : uint8_t {
  kValidating,
  kInProgress,
  kFinalizing,
  kCancelling,
  kCompleted,
  kFailed,  // no request was run, or its files could not be written
  kExpired,
  kCancelled,
};
std::string_view BatchStateName(BatchState state);

// Many requests of one tenant, as a file, to one endpoint.
struct Batch {
  std::string id;
  std::string tenant;  // Tenant::identity
  std::string endpoint;
  std::string input_file;
  std::string output_file;  // empty: nothing was written yet
  std::string error_file;
  BatchState state = BatchState::kValidating;
  int64_t created_at = 0;
  int64_t expires_at = 0;
  std::map<BatchState, int64_t> reached;  // when, in Unix seconds
  size_t total = 0, completed = 0, failed = 0;
  std::vector<BatchProblem> problems;
  Json metadata = Json::object();
  std::optional<int64_t> output_seconds;  // how long its files are kept after it was created

  bool ended() const { return state >= BatchState::kCompleted; }
  void Reach(BatchState next, int64_t now) {
    state = next;
    reached[next] = now;
  }
};

// As OpenAI's interface states it; files that are still written are left out.
Json BatchJson(const Batch& batch);

// As it is kept on disk, and back; nothing if the record is none of a batch.
Json BatchRecord(const Batch& batch);
std::optional<Batch> BatchOfRecord(const std::string& id, const Json& record);

}  // namespace pelton
