#include "serving/http/operator_routes.h"

#include <fmt/format.h>

#include <utility>
#include <vector>

namespace pelton {
namespace {

// An engine that has work and finishes no step for so long is stuck.
constexpr std::chrono::seconds kStuckAfter{30};

}  // namespace

OperatorRoutes::OperatorRoutes(const ModelDirectory& models, std::string version,
                               std::function<std::string()> metrics_page)
    : models_(models), version_(std::move(version)), metrics_page_(std::move(metrics_page)) {}

// A model that finished no step for long although requests run; empty if there is none.
std::string OperatorRoutes::StuckModel() {
  const std::vector<ListedModel> listed = models_.List();
  const auto now = std::chrono::steady_clock::now();
  const MutexLock lock(mutex_);
  std::map<std::string, Progress> before = std::move(progress_);
  progress_.clear();
  std::string stuck;
  for (const ListedModel& each : listed) {
    if (each.opened.language == nullptr || each.metrics == nullptr) continue;
    const uint64_t steps =
        each.metrics->AddCounter("pelton_engine_steps_total", "", "Forward passes").value();
    const bool running =
        each.metrics->AddGauge("pelton_requests_running", "", "Sequences that hold KV blocks")
            .value() > 0;
    const auto known = before.find(each.called.name);
    const bool stands = running && known != before.end() && known->second.steps == steps;
    const Progress progress{steps, stands ? known->second.since : now};
    progress_[each.called.name] = progress;
    if (now - progress.since > kStuckAfter && stuck.empty()) stuck = each.called.name;
  }
  return stuck;
}

void OperatorRoutes::AnswerReady(const ApiCall& call) {
  if (draining()) return call.Fail({.status = 503, .message = "the server is shutting down"});
  const std::string stuck = StuckModel();
  if (!stuck.empty()) {
    return call.Fail(
        {.status = 503,
         .message = fmt::format("the engine of \"{}\" has work but finishes no step", stuck)});
  }
  SendJson(*call.response, R"({"status":"ready"})");
}

RouteSet OperatorRoutes::Routes() {
  RouteSet set{.docs = {{.method = "GET",
                         .path = "/health",
                         .summary = "The process is alive",
                         .answer = R"({"type":"object","required":["status"]})"},
                        {.method = "GET",
                         .path = "/ready",
                         .summary = "It takes requests, and the engine gets on",
                         .answer = R"({"type":"object","required":["status"]})"},
                        {.method = "GET",
                         .path = "/version",
                         .summary = "The program's version",
                         .answer = R"({"type":"object","required":["version"]})"},
                        {.method = "GET",
                         .path = "/metrics",
                         .summary = "Figures as Prometheus reads them",
                         .media = "text/plain"}}};
  set.routes.push_back(
      {.method = "GET",
       .path = "/health",
       .versioned = true,
       .open = true,
       .answer = [](const ApiCall& call) { SendJson(*call.response, R"({"status":"ok"})"); }});
  set.routes.push_back(
      {.method = "GET", .path = "/ready", .open = true, .answer = [this](const ApiCall& call) {
         AnswerReady(call);
       }});
  set.routes.push_back(
      {.method = "GET", .path = "/version", .open = true, .answer = [this](const ApiCall& call) {
         SendJson(*call.response, fmt::format("{{\"version\":\"{}\"}}", version_));
       }});
  set.routes.push_back({.method = "GET", .path = "/metrics", .answer = [this](const ApiCall& call) {
                          call.response->Send(
                              200, {{"Content-Type", "text/plain; version=0.0.4; charset=utf-8"}},
                              metrics_page_());
                        }});
  return set;
}

}  // namespace pelton
