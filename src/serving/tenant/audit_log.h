#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <string_view>

#include "base/async_lines.h"
#include "base/metrics.h"
#include "base/status.h"

namespace pelton {

// What one request was. Never its text, nor a key.
struct AuditEvent {
  std::string_view tenant;  // empty: a key that nobody has, or none
  std::string_view request_id;
  std::string_view method;
  std::string_view path;
  std::string_view model;  // empty: none was found
  std::string_view peer;
  int status = 0;  // of HTTP; 0: the client left before an answer began
  uint64_t prompt_tokens = 0;
  uint64_t cached_tokens = 0;
  uint64_t output_tokens = 0;
};

// JSON lines of who asked for what, in a file that is bounded: at 64 MiB it is put aside once.
// Trouble with the file is counted and stops nobody. Any thread.
class AuditLog {
 public:
  // InvalidArgument if the file cannot be opened. Borrows the registry.
  static Result<std::unique_ptr<AuditLog>> Open(const std::string& path, MetricRegistry& metrics);

  void Write(const AuditEvent& event);

 private:
  AuditLog(std::unique_ptr<AsyncLines> lines, MetricRegistry& metrics);

  const std::unique_ptr<AsyncLines> lines_;
  Gauge& lost_;
};

}  // namespace pelton
