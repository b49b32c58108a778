#include "serving/batch/batch.h"

#include <algorithm>
#include <array>
#include <utility>

namespace pelton {
namespace {

constexpr std::array<std::string_view, 8> kNames = {"validating", "in_progress", "finalizing",
                                                    "cancelling", "completed",   "failed",
                                                    "expired",    "cancelled"};

Json Text(const std::string& text) { return text.empty() ? Json() : Json(text); }

std::optional<BatchState> StateOf(std::string_view name) {
  const auto found = std::ranges::find(kNames, name);
  if (found == kNames.end()) return std::nullopt;
  return static_cast<BatchState>(found - kNames.begin());
}

Json ProblemsJson(const std::vector<BatchProblem>& problems) {
  Json list = Json::array();
  for (const BatchProblem& problem : problems) {
    list.push_back({{"code", problem.code},
                    {"message", problem.message},
                    {"param", Text(problem.param)},
                    {"line", problem.line ? Json(*problem.line) : Json()}});
  }
  return list;
}

}  // namespace

std::string_view BatchStateName(BatchState state) { return kNames[static_cast<size_t>(state)]; }

Json BatchJson(const Batch& batch) {
  Json json = {{"id", batch.id},
               {"object", "batch"},
               {"endpoint", batch.endpoint},
               {"errors", nullptr},
               {"input_file_id", batch.input_file},
               {"completion_window", "24h"},
               {"status", BatchStateName(batch.state)},
               {"output_file_id", batch.ended() ? Text(batch.output_file) : Json()},
               {"error_file_id", batch.ended() ? Text(batch.error_file) : Json()},
               {"created_at", batch.created_at},
               {"expires_at", batch.expires_at}};
  if (!batch.problems.empty()) {
    json["errors"] = {{"object", "list"}, {"data", ProblemsJson(batch.problems)}};
  }
  for (size_t i = 1; i < kNames.size(); ++i) {
    const auto at = batch.reached.find(static_cast<BatchState>(i));
    json[std::string(kNames[i]) + "_at"] = at == batch.reached.end() ? Json() : Json(at->second);
  }
  json["request_counts"] = {
      {"total", batch.total}, {"completed", batch.completed}, {"failed", batch.failed}};
  json["metadata"] = batch.metadata;
  return json;
}

Json BatchRecord(const Batch& batch) {
  Json reached = Json::object();
  for (const auto& [state, at] : batch.reached) reached[std::string(BatchStateName(state))] = at;
  return {{"tenant", batch.tenant},
          {"endpoint", batch.endpoint},
          {"input_file", batch.input_file},
          {"output_file", batch.output_file},
          {"error_file", batch.error_file},
          {"state", BatchStateName(batch.state)},
          {"created_at", batch.created_at},
          {"expires_at", batch.expires_at},
          {"reached", std::move(reached)},
          {"total", batch.total},
          {"completed", batch.completed},
          {"failed", batch.failed},
          {"problems", ProblemsJson(batch.problems)},
          {"metadata", batch.metadata},
          {"output_seconds", batch.output_seconds ? Json(*batch.output_seconds) : Json()}};
}

std::optional<Batch> BatchOfRecord(const std::string& id, const Json& record) {
  Batch batch{.id = id};
  FieldReader reader(record);
  std::string state;
  reader.String("tenant", &batch.tenant);
  reader.String("endpoint", &batch.endpoint);
  reader.String("input_file", &batch.input_file);
  reader.String("output_file", &batch.output_file);
  reader.String("error_file", &batch.error_file);
  reader.String("state", &state);
  reader.Whole("created_at", &batch.created_at);
  reader.Whole("expires_at", &batch.expires_at);
  reader.Whole("total", &batch.total);
  reader.Whole("completed", &batch.completed);
  reader.Whole("failed", &batch.failed);
  reader.Whole("output_seconds", &batch.output_seconds);
  const Json* reached = reader.Find("reached");
  const Json* problems = reader.Find("problems");
  const Json* metadata = reader.Find("metadata");
  reader.RefuseUnknown();
  const std::optional<BatchState> known = StateOf(state);
  if (!reader.ok() || !known || batch.tenant.empty() || reached == nullptr ||
      !reached->is_object() || problems == nullptr || !problems->is_array() ||
      metadata == nullptr || !metadata->is_object()) {
    return std::nullopt;
  }
  batch.state = *known;
  batch.metadata = *metadata;
  for (const auto& [name, at] : reached->items()) {
    const std::optional<BatchState> one = StateOf(name);
    if (!one || !at.is_number_integer()) return std::nullopt;
    batch.reached[*one] = at.get<int64_t>();
  }
  for (const Json& entry : *problems) {
    if (!entry.is_object()) return std::nullopt;
    FieldReader inner(entry);
    BatchProblem problem;
    inner.String("code", &problem.code);
    inner.String("message", &problem.message);
    inner.String("param", &problem.param);
    inner.Whole("line", &problem.line);
    inner.RefuseUnknown();
    if (!inner.ok()) return std::nullopt;
    batch.problems.push_back(std::move(problem));
  }
  return batch;
}

}  // namespace pelton
