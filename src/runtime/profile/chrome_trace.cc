#include "runtime/profile/chrome_trace.h"

#include <fmt/format.h>

#include <algorithm>
#include <iterator>
#include <map>
#include <nlohmann/json.hpp>
#include <utility>

namespace pelton {
namespace {

constexpr int kEngine = 1;  // "processes" of the trace
constexpr int kRequests = 2;

// Names of tensors come from files: quoted, and bytes that are not UTF-8 replaced.
std::string Quoted(const std::string& text) {
  return nlohmann::json(text).dump(-1, ' ', true, nlohmann::json::error_handler_t::replace);
}

std::string LabelOf(std::span<const std::string> labels, size_t op_idx) {
  return op_idx < labels.size() ? labels[op_idx] : fmt::format("op {}", op_idx);
}

double Microseconds(int64_t ns) { return static_cast<double>(ns) * 1e-3; }

class TraceWriter {
 public:
  explicit TraceWriter(int64_t origin_ns) : origin_ns_(origin_ns) {}

  void Name(const char* what, int process, uint64_t track, const std::string& name) {
    Comma();
    fmt::format_to(std::back_inserter(out_),
                   R"({{"ph":"M","name":"{}","pid":{},"tid":{},"args":{{"name":{}}}}})", what,
                   process, track, Quoted(name));
  }
  // `name` and `args` are JSON.
  void Span(int process, uint64_t track, std::string_view name, int64_t start_ns, int64_t end_ns,
            std::string_view args) {
    Comma();
    fmt::format_to(std::back_inserter(out_),
                   R"({{"ph":"X","name":{},"pid":{},"tid":{},"ts":{:.3f},"dur":{:.3f},"args":{}}})",
                   name, process, track, Microseconds(start_ns - origin_ns_),
                   Microseconds(std::max<int64_t>(end_ns - start_ns, 0)), args);
  }
  std::string Finish(uint64_t lost) {
    return fmt::format(
        "{{\"displayTimeUnit\":\"ms\",\"otherData\":{{\"lost_events\":{}}},"
        "\"traceEvents\":[{}]}}\n",
        lost, out_);
  }

 private:
  void Comma() {
    if (!out_.empty()) out_ += ",\n";
  }
  const int64_t origin_ns_;
  std::string out_;
};

int64_t OriginOf(const ProfileRecord& record) {
  int64_t origin = INT64_MAX;
  for (const ProfiledStep& step : record.steps) origin = std::min(origin, step.start_ns);
  for (const ProfiledOp& op : record.ops) origin = std::min(origin, op.start_ns);
  for (const ProfiledRequest& each : record.requests) origin = std::min(origin, each.submitted_ns);
  return origin == INT64_MAX ? 0 : origin;
}

void AddRequest(const ProfiledRequest& request, TraceWriter* writer) {
  writer->Name("thread_name", kRequests, request.id, fmt::format("request {}", request.id));
  const std::string args =
      fmt::format(R"({{"prompt_tokens":{},"cached_tokens":{},"output_tokens":{}}})",
                  request.prompt_tokens, request.cached_tokens, request.output_tokens);
  const auto span = [&](const char* name, int64_t start_ns, int64_t end_ns) {
    writer->Span(kRequests, request.id, name, start_ns, end_ns, args);
  };
  const int64_t started_ns = request.started_ns < 0 ? request.end_ns : request.started_ns;
  const int64_t first_ns = request.first_token_ns < 0 ? request.end_ns : request.first_token_ns;
  span("\"queue\"", request.submitted_ns, started_ns);
  if (request.started_ns >= 0) span("\"prefill\"", started_ns, first_ns);
  if (request.first_token_ns >= 0) span("\"decode\"", first_ns, request.end_ns);
}

}  // namespace

std::string ChromeTrace(const ProfileRecord& record, std::span<const std::string> op_labels) {
  TraceWriter writer(OriginOf(record));
  writer.Name("process_name", kEngine, 0, "engine");
  writer.Name("thread_name", kEngine, 1, "steps");
  writer.Name("thread_name", kEngine, 2, "ops");
  writer.Name("process_name", kRequests, 0, "requests");
  for (const ProfiledStep& step : record.steps) {
    writer.Span(kEngine, 1, "\"step\"", step.start_ns, step.end_ns,
                fmt::format(R"({{"tokens":{},"sequences":{}}})", step.tokens, step.sequences));
  }
  std::vector<std::string> names;
  names.reserve(op_labels.size());
  for (const std::string& label : op_labels) names.push_back(Quoted(label));
  for (const ProfiledOp& op : record.ops) {
    writer.Span(kEngine, 2,
                op.op_idx < names.size() ? names[op.op_idx] : Quoted(LabelOf(op_labels, op.op_idx)),
                op.start_ns, op.end_ns, fmt::format(R"({{"kernel":{}}})", Quoted(op.impl)));
  }
  for (const ProfiledRequest& request : record.requests) AddRequest(request, &writer);
  return writer.Finish(record.lost);
}

std::vector<OpShare> SummarizeOps(const ProfileRecord& record,
                                  std::span<const std::string> op_labels) {
  double steps = 0, ops = 0;
  for (const ProfiledStep& step : record.steps) {
    steps += Microseconds(step.end_ns - step.start_ns) * 1e-6;
  }
  std::map<std::pair<std::string, std::string>, OpShare> sums;
  for (const ProfiledOp& op : record.ops) {
    const std::string label = LabelOf(op_labels, op.op_idx);
    const std::string kind = label.substr(0, label.find(" %"));
    OpShare& sum = sums[{kind, op.impl}];
    const double seconds = Microseconds(op.end_ns - op.start_ns) * 1e-6;
    sum.op = kind;
    sum.impl = op.impl;
    sum.seconds += seconds;
    ops += seconds;
    ++sum.calls;
  }
  std::vector<OpShare> shares;
  shares.reserve(sums.size() + 1);
  for (auto& [key, sum] : sums) shares.push_back(std::move(sum));
  std::sort(shares.begin(), shares.end(),
            [](const OpShare& a, const OpShare& b) { return a.seconds > b.seconds; });
  shares.push_back({.op = "(between ops)",
                    .impl = "",
                    .seconds = std::max(steps - ops, 0.0),
                    .calls = record.steps.size()});
  const double whole = std::max(steps, ops);
  for (OpShare& share : shares) share.share = whole > 0 ? share.seconds / whole : 0;
  return shares;
}

std::string ProfileTable(const ProfileRecord& record, std::span<const std::string> op_labels,
                         size_t most) {
  const std::vector<OpShare> shares = SummarizeOps(record, op_labels);
  std::string text =
      fmt::format("{:<24} {:<28} {:>10} {:>7} {:>9}\n", "op", "kernel", "ms", "share", "calls");
  for (size_t i = 0; i < shares.size(); ++i) {
    if (i >= most && i + 1 < shares.size()) continue;
    const OpShare& share = shares[i];
    text += fmt::format("{:<24} {:<28} {:>10.2f} {:>6.1f}% {:>9}\n", share.op, share.impl,
                        share.seconds * 1e3, share.share * 100, share.calls);
  }
  text += fmt::format("{} steps, {} requests", record.steps.size(), record.requests.size());
  if (record.lost > 0) text += fmt::format("; the oldest {} events were overwritten", record.lost);
  return text + "\n";
}

}  // namespace pelton
