#include "serving/http/journal_routes.h"

#include <chrono>
#include <nlohmann/json.hpp>
#include <optional>
#include <string>

#include "serving/api/query_fields.h"
#include "serving/tenant/tenant.h"

namespace pelton {
namespace {

using Json = nlohmann::ordered_json;

constexpr size_t kUsualLimit = 100;

double Milliseconds(int64_t ns) { return static_cast<double>(ns) * 1e-6; }

Json EntryJson(const JournalEntry& entry) {
  return {{"id", entry.request_id},
          {"choice", entry.choice},
          {"path", entry.path},
          {"model", entry.model},
          {"service_class", ServiceClassName(entry.service_class)},
          {"state", entry.reason ? FinishReasonName(*entry.reason) : "running"},
          {"began", static_cast<double>(entry.began_unix_ns) * 1e-9},
          {"queue_ms", Milliseconds(entry.queue_ns)},
          {"prompt_ms", Milliseconds(entry.prompt_ns)},
          {"output_ms", Milliseconds(entry.output_ns)},
          {"prompt_tokens", entry.prompt_tokens},
          {"cached_tokens", entry.cached_tokens},
          {"output_tokens", entry.output_tokens},
          {"preemptions", entry.preemptions}};
}

void Answer(const ApiCall& call, const RequestJournal& journal) {
  size_t limit = kUsualLimit;
  QueryFields query(call.request->query);
  query.Whole("limit", 1, RequestJournal::kMostEnded, &limit);
  if (const auto error = query.Error()) return call.Fail(*error);
  // The key may have been taken away since the headers came.
  if (call.tenant == nullptr) {
    return call.Fail({.status = 401, .message = "the key is no longer valid"});
  }
  const std::chrono::duration<double> now = std::chrono::system_clock::now().time_since_epoch();
  Json requests = Json::array();
  for (const JournalEntry& entry : journal.Read(call.tenant->name(), limit)) {
    requests.push_back(EntryJson(entry));
  }
  const Json body = {{"now", now.count()}, {"requests", std::move(requests)}};
  SendJson(*call.response, body.dump(-1, ' ', false, Json::error_handler_t::replace));
}

}  // namespace

RouteSet JournalRoutes(const RequestJournal& journal) {
  static constexpr FieldDocs kQuery[] = {
      {"limit", R"({"type":"integer","minimum":1,"maximum":512})", "the newest; 100 if absent"}};
  return {.routes = {{.method = "GET",
                      .path = "/debug/requests",
                      .answer = [&](const ApiCall& call) { Answer(call, journal); }}},
          .docs = {{.method = "GET",
                    .path = "/debug/requests",
                    .summary = "What the key's requests of late took, and those that run",
                    .answer = R"({"type":"object","required":["now","requests"]})",
                    .query = kQuery}}};
}

}  // namespace pelton
