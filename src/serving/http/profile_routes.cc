#include "serving/http/profile_routes.h"

#include <algorithm>
#include <charconv>
#include <string>
#include <utility>
#include <vector>

#include "runtime/profile/chrome_trace.h"
#include "serving/api/query.h"

namespace pelton {
namespace {

constexpr int kMostSeconds = 60;

// "seconds=N" and "model=NAME" in any order.
struct Query {
  int seconds = 0;  // 0: the query is anything else
  std::string model;
};

Query ParseQuery(std::string_view text) {
  Query query;
  while (!text.empty()) {
    const std::string_view part = text.substr(0, text.find('&'));
    text.remove_prefix(std::min(text.size(), part.size() + 1));
    const size_t equals = std::min(part.find('='), part.size());
    const std::string_view name = part.substr(0, equals);
    const std::string_view value = part.substr(std::min(part.size(), equals + 1));
    if (name == "model") {
      query.model = value;
      continue;
    }
    int seconds = 0;
    const auto [end, error] = std::from_chars(value.data(), value.data() + value.size(), seconds);
    const bool whole = error == std::errc() && end == value.data() + value.size();
    if (name != "seconds" || !whole || seconds < 1 || seconds > kMostSeconds) return {};
    query.seconds = seconds;
  }
  return query;
}

}  // namespace

ProfileRoutes::~ProfileRoutes() {
  std::thread thread;
  {
    const MutexLock lock(mutex_);
    stopping_ = true;
    thread = std::move(thread_);
  }
  if (thread.joinable()) thread.join();
}

RouteSet ProfileRoutes::Routes() {
  static constexpr FieldDocs kQuery[] = {
      {"seconds", R"({"type":"integer","minimum":1,"maximum":60})", "", true}};
  return {.routes = {{.method = "POST",
                      .path = "/debug/profile",
                      .answer = [this](const ApiCall& call) { Answer(call); }}},
          .docs = {{.method = "POST",
                    .path = "/debug/profile",
                    .summary = "A timeline of the next seconds",
                    .query = kQuery}}};
}

void ProfileRoutes::Answer(const ApiCall& call) {
  const Query query = ParseQuery(call.request->query);
  if (query.seconds == 0) {
    return call.Fail(
        {.message = "expected ?seconds=N, 1 to 60, and perhaps &model=NAME", .param = "seconds"});
  }
  ApiError error;
  const std::string name = models_.Resolve(query.model, ModelKind::kLanguage, &error);
  if (name.empty()) return call.Fail(error);
  models_.Open(name, 0, [this, call, query](OpenedModel opened, const ApiError& refusal) {
    if (opened.empty()) return call.Fail(refusal);
    Begin(call, std::chrono::seconds(query.seconds), std::move(opened.language));
  });
}

void ProfileRoutes::Begin(const ApiCall& call, std::chrono::seconds length,
                          std::shared_ptr<const ServedModel> served) {
  const MutexLock lock(mutex_);
  if (stopping_ || recording_ || !served->model.profile->Start()) {
    return call.Fail({.status = 503, .message = "a profile is being recorded; try again later"});
  }
  recording_ = true;
  if (thread_.joinable()) thread_.join();  // of the recording before, which has ended
  thread_ = std::thread([this, call, length, served = std::move(served)] {
    Record(call, length, *served);
    const MutexLock ending(mutex_);
    recording_ = false;
  });
}

void ProfileRoutes::Record(const ApiCall& call, std::chrono::seconds length,
                           const ServedModel& served) {
  const auto end = std::chrono::steady_clock::now() + length;
  while (std::chrono::steady_clock::now() < end && !call.response->closed()) {
    {
      const MutexLock lock(mutex_);
      if (stopping_) break;
    }
    std::this_thread::sleep_for(std::chrono::milliseconds(20));
  }
  const ProfileRecord record = served.model.profile->Stop();
  std::vector<std::string> labels;
  if (served.model.executor != nullptr) labels = served.model.executor->OpLabels();
  call.response->Send(200,
                      {{"Content-Type", "application/json"},
                       {"Content-Disposition", "attachment; filename=\"pelton-trace.json\""}},
                      ChromeTrace(record, labels));
}

}  // namespace pelton
