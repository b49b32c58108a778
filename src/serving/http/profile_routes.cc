#include "serving/http/profile_routes.h"

#include <charconv>
#include <string>
#include <utility>
#include <vector>

#include "runtime/profile/chrome_trace.h"

namespace pelton {
namespace {

constexpr int kMostSeconds = 60;

// N of "seconds=N"; 0 if the query is anything else.
int SecondsOf(std::string_view query) {
  constexpr std::string_view kName = "seconds=";
  if (query.substr(0, kName.size()) != kName) return 0;
  query.remove_prefix(kName.size());
  int seconds = 0;
  const auto [end, error] = std::from_chars(query.data(), query.data() + query.size(), seconds);
  const bool whole = error == std::errc() && end == query.data() + query.size();
  return whole && seconds >= 1 && seconds <= kMostSeconds ? seconds : 0;
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
  return {.routes = {{.method = "POST",
                      .path = "/debug/profile",
                      .answer = [this](const ApiCall& call) { Answer(call); }}}};
}

void ProfileRoutes::Answer(const ApiCall& call) {
  const int seconds = SecondsOf(call.request->query);
  if (seconds == 0) {
    return call.Fail({.message = "expected ?seconds=N, 1 to 60", .param = "seconds"});
  }
  models_.Open(
      "", [this, call, seconds](std::shared_ptr<const ServedModel> served, const ApiError& error) {
        if (served == nullptr) return call.Fail(error);
        Begin(call, std::chrono::seconds(seconds), std::move(served));
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
