#include "serving/http/profile_routes.h"

#include <string>
#include <utility>
#include <vector>

#include "runtime/profile/chrome_trace.h"
#include "serving/api/query_fields.h"

namespace pelton {
namespace {

constexpr size_t kMostSeconds = 60;

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
      {"seconds", R"({"type":"integer","minimum":1,"maximum":60})", "", true},
      {"model", R"({"type":"string"})", "without one the first"}};
  return {.routes = {{.method = "POST",
                      .path = "/debug/profile",
                      .answer = [this](const ApiCall& call) { Answer(call); }}},
          .docs = {{.method = "POST",
                    .path = "/debug/profile",
                    .summary = "A timeline of the next seconds",
                    .query = kQuery}}};
}

void ProfileRoutes::Answer(const ApiCall& call) {
  size_t seconds = 0;
  std::string asked;
  QueryFields query(call.request->query);
  query.Whole("seconds", 1, kMostSeconds, &seconds);
  query.String("model", &asked);
  if (seconds == 0) query.Refuse("seconds", "expected ?seconds=N, 1 to 60");
  if (const auto error = query.Error()) return call.Fail(*error);
  ApiError error;
  const std::string name = models_.Resolve(asked, ModelKind::kLanguage, &error);
  if (name.empty()) return call.Fail(error);
  models_.Open(name, 0, [this, call, seconds](OpenedModel opened, const ApiError& refusal) {
    if (opened.empty()) return call.Fail(refusal);
    Begin(call, std::chrono::seconds(seconds), std::move(opened.language));
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
