#include "serving/tenant/audit_log.h"

#include <array>
#include <chrono>
#include <utility>

#include "base/log.h"

namespace pelton {
namespace {

constexpr size_t kMaxBytes = 64 << 20;
constexpr size_t kMaxPath = 200;  // a path is as long as the client likes

}  // namespace

Result<std::unique_ptr<AuditLog>> AuditLog::Open(const std::string& path, MetricRegistry& metrics) {
  ASSIGN_OR_RETURN(std::unique_ptr<AsyncLines> lines, AsyncLines::ToFile(path, kMaxBytes));
  return std::unique_ptr<AuditLog>(new AuditLog(std::move(lines), metrics));
}

AuditLog::AuditLog(std::unique_ptr<AsyncLines> lines, MetricRegistry& metrics)
    : lines_(std::move(lines)),
      lost_(metrics.AddGauge("pelton_audit_lines_lost", "",
                             "Lines of the audit log that could not be written")) {}

void AuditLog::Write(const AuditEvent& event) {
  const std::array<LogField, 10> fields = {
      {{"tenant", event.tenant},
       {"request_id", event.request_id},
       {"method", event.method},
       {"path", event.path.substr(0, kMaxPath)},
       {"model", event.model},
       {"peer", event.peer},
       {"status", int64_t{event.status}},
       {"prompt_tokens", static_cast<int64_t>(event.prompt_tokens)},
       {"cached_tokens", static_cast<int64_t>(event.cached_tokens)},
       {"output_tokens", static_cast<int64_t>(event.output_tokens)}}};
  const auto now = std::chrono::system_clock::now().time_since_epoch();
  lines_->Write(FormatLogLine(LogFormat::kJson,
                              std::chrono::duration_cast<std::chrono::milliseconds>(now).count(),
                              LogLevel::kInfo, "audit", fields));
  lost_.Set(static_cast<int64_t>(lines_->failed() + lines_->dropped()));
}

}  // namespace pelton
