#include <cstddef>
#include <cstdint>
#include <set>
#include <string>
#include <string_view>
#include <vector>

#include "serving/batch/batch.h"
#include "serving/batch/batch_line.h"

// Any text as a batch's input; one that begins with "{}" as the record of a batch on disk. Accepted
// lines lie in the text, in order, have ids that differ and bodies that are objects; a line of an
// answer gives its id back. A record that is accepted is written as it was read.

namespace pelton {
namespace {

constexpr std::string_view kEndpoint = "/v1/responses";

void Check(bool condition) {
  if (!condition) __builtin_trap();
}

void RunInput(std::string_view text) {
  std::vector<LineSpan> lines;
  const std::vector<BatchProblem> problems = CheckBatchInput(text, kEndpoint, &lines);
  Check(problems.size() <= 101 && (!problems.empty() || !lines.empty()));
  for (const BatchProblem& problem : problems) {
    Check(!problem.code.empty() && !problem.message.empty());
    Check(problem.message.size() <= text.size() * 6 + 1024);
  }
  uint64_t at = 0;
  std::set<std::string> ids;
  for (const LineSpan& span : lines) {
    Check(span.offset >= at && span.bytes > 0 && span.offset + span.bytes <= text.size());
    at = span.offset + span.bytes + 1;
    BatchLine line;
    const std::string_view read = text.substr(span.offset, span.bytes);
    Check(read.find('\n') == std::string_view::npos);
    Check(!ReadBatchLine(read, kEndpoint, &line));
    Check(ids.insert(line.custom_id).second);
    const Result<Json> body = ParseJson(line.body);
    Check(body.ok() && body->is_object());
    const std::string answer = AnswerLine("id", line.custom_id, 200, line.body);
    Check(answer.find('\n') == answer.size() - 1);
    Check(CustomIdOf(answer) == CustomIdOf(read));
  }
}

void RunRecord(std::string_view text) {
  const Result<Json> record = ParseJson(text);
  if (!record.ok() || !record->is_object()) return;
  const std::optional<Batch> batch = BatchOfRecord("batch_x", *record);
  if (!batch) return;
  const Json written = BatchRecord(*batch);
  const std::optional<Batch> again = BatchOfRecord("batch_x", written);
  Check(again && BatchRecord(*again) == written);
  Check(BatchJson(*again) == BatchJson(*batch));
}

}  // namespace
}  // namespace pelton

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const std::string_view text(reinterpret_cast<const char*>(data), size);
  if (text.starts_with("{}")) {
    pelton::RunRecord(text.substr(2));
  } else {
    pelton::RunInput(text);
  }
  return 0;
}
