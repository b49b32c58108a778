#include "serving/http/operator_routes.h"

#include <fmt/format.h>

#include <utility>

namespace pelton {
namespace {

// An engine that has work and finishes no step for so long is stuck.
constexpr std::chrono::seconds kStuckAfter{30};

}  // namespace

OperatorRoutes::OperatorRoutes(MetricRegistry& metrics, std::string version,
                               std::function<std::string()> metrics_page)
    : version_(std::move(version)),
      metrics_page_(std::move(metrics_page)),
      steps_(metrics.AddCounter("pelton_engine_steps_total", "", "Forward passes")),
      running_(metrics.AddGauge("pelton_requests_running", "", "Sequences that hold KV blocks")) {}

// Whether no step was finished for long although requests run.
bool OperatorRoutes::IsStuck() {
  const std::lock_guard lock(progress_mutex_);
  const auto now = std::chrono::steady_clock::now();
  if (running_.value() == 0 || steps_.value() != last_steps_) {
    last_steps_ = steps_.value();
    last_progress_ = now;
  }
  return now - last_progress_ > kStuckAfter;
}

void OperatorRoutes::AnswerReady(const ApiCall& call) {
  if (draining()) return call.Fail({.status = 503, .message = "the server is shutting down"});
  if (IsStuck()) {
    return call.Fail({.status = 503, .message = "the engine has work but finishes no step"});
  }
  SendJson(*call.response, R"({"status":"ready"})");
}

RouteSet OperatorRoutes::Routes() {
  RouteSet set;
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
