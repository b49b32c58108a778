// The thread of a BatchService.
#include <fmt/format.h>

#include <algorithm>
#include <utility>

#include "serving/api/unique_id.h"
#include "serving/batch/batch_service.h"

namespace pelton {
namespace {

constexpr size_t kMostTries = 200;  // of a request that the server is too busy for
constexpr int64_t kLookNs = 1'000'000'000;

std::string_view TextOf(const MappedFile& file) {
  return {reinterpret_cast<const char*>(file.bytes().data()), file.bytes().size()};
}

// How long a batch waits after so many refusals: 1 s, 2 s, 4 s, … 32 s.
std::chrono::seconds Pause(size_t refusals) {
  return std::chrono::seconds(int64_t{1} << std::min<size_t>(refusals, 5));
}

}  // namespace

void BatchService::Loop() {
  std::vector<uint64_t> arrived;
  bool changed = false;
  while (WaitForWork(&arrived, &changed)) {
    for (const uint64_t flight : arrived) Settle(flight);
    if (changed) TakeUp();
    EndWorks();
    StartRequests();
    Report();
  }
}

// False: the service stops.
bool BatchService::WaitForWork(std::vector<uint64_t>* arrived, bool* changed) {
  const MutexLock lock(mutex_);
  // Also now and then for another try, and for what expires.
  if (!stopping_ && arrived_.empty() && !changed_) wake_.WaitFor(mutex_, kLookNs);
  *changed = std::exchange(changed_, false);
  *arrived = std::exchange(arrived_, {});
  return !stopping_;
}

void BatchService::Report() {
  size_t waiting = 0;
  for (const auto& [id, work] : works_) waiting += work.pending.size();
  waiting_.Set(static_cast<int64_t>(waiting));
  active_.Set(static_cast<int64_t>(works_.size()));
  in_flight_.Set(static_cast<int64_t>(flights_.size()));
}

// Begins batches that nobody works on.
void BatchService::TakeUp() {
  std::vector<Batch> fresh;
  {
    const MutexLock lock(mutex_);
    for (const auto& [id, batch] : batches_) {
      if (!batch.ended() && !works_.contains(id)) fresh.push_back(batch);
    }
  }
  for (const Batch& batch : fresh) Begin(batch);
}

void BatchService::Begin(const Batch& batch) {
  Work& work = works_[batch.id];
  work = {.id = batch.id, .tenant = batch.tenant, .endpoint = batch.endpoint};
  if (batch.state == BatchState::kCancelling) return;  // EndWorks does the rest
  Result<MappedFile> input = MappedFile::Open(files_->PathOf(batch.input_file));
  if (!input.ok()) {
    return Fail(batch.id, {"file_not_found", "the input file is gone", "input_file_id", {}});
  }
  work.input.emplace(std::move(input).value());
  std::vector<BatchProblem> problems =
      CheckBatchInput(TextOf(*work.input), batch.endpoint, &work.lines);
  if (!problems.empty()) {
    {
      const MutexLock lock(mutex_);
      batches_.at(batch.id).problems = std::move(problems);
    }
    return End(work, BatchState::kFailed);
  }
  // What an earlier process answered.
  std::set<std::string> done;
  size_t completed = 0, failed = 0;
  Skip(batch.output_file, &done, &completed);
  Skip(batch.error_file, &done, &failed);
  for (size_t i = 0; i < work.lines.size(); ++i) {
    if (!done.empty()) {
      const LineSpan& span = work.lines[i];
      const auto id = CustomIdOf(TextOf(*work.input).substr(span.offset, span.bytes));
      if (id && done.contains(*id)) continue;
    }
    work.pending.push_back({.line = i, .tries = 0});
  }
  const MutexLock lock(mutex_);
  Batch& known = batches_.at(batch.id);
  known.total = work.lines.size();
  known.completed = completed;
  known.failed = failed;
  if (known.state == BatchState::kValidating) known.Reach(BatchState::kInProgress, UnixSeconds());
  Save(known);
}

// Goes on with a file of an earlier process, and notes the requests whose lines it has.
void BatchService::Skip(const std::string& file, std::set<std::string>* done, size_t* count) {
  if (file.empty() || !files_->GoOn(file).ok()) return;
  const Result<MappedFile> mapped = MappedFile::Open(files_->PathOf(file));
  if (!mapped.ok()) return;
  std::string_view text = TextOf(*mapped);
  while (!text.empty()) {
    const std::string_view line = text.substr(0, text.find('\n'));
    text.remove_prefix(std::min(text.size(), line.size() + 1));
    if (std::optional<std::string> id = CustomIdOf(line)) {
      done->insert(*std::move(id));
      ++*count;
    }
  }
}

// Starts as many requests as there is room for; batches take turns.
void BatchService::StartRequests() {
  const Time now = std::chrono::steady_clock::now();
  size_t idle = 0;  // batches in a row that had nothing to start
  while (flights_.size() < options_.max_in_flight && idle < works_.size()) {
    auto next = works_.upper_bound(last_started_);
    if (next == works_.end()) next = works_.begin();
    last_started_ = next->first;
    idle = StartOne(next->second, now) ? 0 : idle + 1;
  }
}

// False: there is none to start now.
bool BatchService::StartOne(Work& work, Time now) {
  if (work.pending.empty() || work.not_before > now) return false;
  const Pending pending = work.pending.front();
  const std::shared_ptr<Tenant> tenant = find_tenant_(work.tenant);
  if (tenant == nullptr) {
    Fail(work.id,
         {"tenant_not_found", "the key that the batch belongs to is not valid any more", "", {}});
    return false;
  }
  const LineSpan span = work.lines[pending.line];
  BatchLine line;
  if (ReadBatchLine(TextOf(*work.input).substr(span.offset, span.bytes), work.endpoint, &line)) {
    Fail(work.id, {"file_changed", "the input file is not what it was", "input_file_id", {}});
    return false;
  }
  const uint64_t flight_id = next_flight_++;
  auto request = std::make_shared<HttpRequest>();
  request->method = "POST";
  request->target = request->path = work.endpoint;
  request->headers = {{"Content-Type", "application/json"}};
  request->body = std::move(line.body);
  request->id = UniqueId("batch_req_");
  request->peer = "batch";
  Flight flight{.batch = work.id,
                .pending = pending,
                .request_id = request->id,
                .custom_id = std::move(line.custom_id),
                .exchange = std::make_unique<LocalExchange>(request->id, [this, flight_id] {
                  const MutexLock lock(mutex_);
                  arrived_.push_back(flight_id);
                  wake_.WakeAll();
                })};
  std::shared_ptr<HttpResponse> response = flight.exchange->TakeResponse();
  work.pending.pop_front();
  ++work.in_flight;
  flights_.emplace(flight_id, std::move(flight));
  dispatch_(std::move(request), std::move(response), tenant);
  return true;
}

void BatchService::Settle(uint64_t flight_id) {
  const auto found = flights_.find(flight_id);
  if (found == flights_.end()) return;
  const std::optional<HttpAnswer> answer = found->second.exchange->Take();
  if (!answer) return;
  const Flight flight = std::move(found->second);
  flights_.erase(found);
  const auto work = works_.find(flight.batch);
  if (work == works_.end()) return;
  --work->second.in_flight;
  const bool busy = answer->status == 429 || answer->status == 503;
  if (busy && flight.pending.tries + 1 < kMostTries) {
    work->second.pending.push_front({flight.pending.line, flight.pending.tries + 1});
    const Time now = std::chrono::steady_clock::now();
    // Those that were refused together are one refusal.
    if (now >= work->second.not_before) {
      work->second.not_before = now + Pause(work->second.refusals++);
    }
    return;
  }
  work->second.refusals = 0;
  const bool ok = answer->status == 200;
  const std::string line =
      AnswerLine(flight.request_id, flight.custom_id, answer->status, answer->body);
  if (!WriteLine(flight.batch, ok, line)) return;
  (ok ? completed_ : failed_).Add();
  const MutexLock lock(mutex_);
  Batch& batch = batches_.at(flight.batch);
  ++(ok ? batch.completed : batch.failed);
}

// Adds to the batch's output, or to its errors; false, and the batch has failed, if it cannot.
bool BatchService::WriteLine(const std::string& id, bool ok, const std::string& line) {
  std::string file;
  StoredFile fresh;
  {
    const MutexLock lock(mutex_);
    const Batch& batch = batches_.at(id);
    file = ok ? batch.output_file : batch.error_file;
    fresh.tenant = batch.tenant;
  }
  Status status;
  if (file.empty()) {
    fresh.filename = fmt::format("{}_{}.jsonl", id, ok ? "output" : "error");
    fresh.purpose = "batch_output";
    Result<std::string> made = files_->Grow(std::move(fresh));
    status = made.status();
    if (made.ok()) {
      file = *made;
      // Before its first line, so that a later process finds it.
      const MutexLock lock(mutex_);
      Batch& batch = batches_.at(id);
      (ok ? batch.output_file : batch.error_file) = file;
      Save(batch);
    }
  }
  if (status.ok()) status = files_->Append(file, line);
  if (status.ok()) return true;
  Fail(id, {"storage_full", status.message(), "", {}});
  return false;
}

// Ends the batches that have nothing left to do, were cancelled, or took too long.
void BatchService::EndWorks() {
  const int64_t now = UnixSeconds();
  std::vector<std::pair<std::string, BatchState>> ends;
  {
    const MutexLock lock(mutex_);
    for (const auto& [id, work] : works_) {
      const Batch& batch = batches_.at(id);
      if (batch.state == BatchState::kCancelling) {
        ends.emplace_back(id, BatchState::kCancelled);
      } else if (work.pending.empty() && work.in_flight == 0) {
        ends.emplace_back(id, BatchState::kCompleted);
      } else if (batch.expires_at <= now) {
        ends.emplace_back(id, BatchState::kExpired);
      }
    }
  }
  for (const auto& [id, state] : ends) {
    const auto work = works_.find(id);
    if (work != works_.end()) End(work->second, state);
  }
}

void BatchService::Fail(const std::string& id, BatchProblem problem) {
  {
    const MutexLock lock(mutex_);
    batches_.at(id).problems.push_back(std::move(problem));
  }
  const auto work = works_.find(id);
  if (work != works_.end()) End(work->second, BatchState::kFailed);
}

// Gives up what is in flight, closes the files, and forgets the work.
void BatchService::End(Work& work, BatchState state) {
  const std::string id = work.id;
  std::vector<Pending> unrun(work.pending.begin(), work.pending.end());
  for (auto at = flights_.begin(); at != flights_.end();) {
    const auto flight = at++;
    if (flight->second.batch != id) continue;
    unrun.push_back(flight->second.pending);
    flights_.erase(flight);
  }
  {
    const MutexLock lock(mutex_);
    Batch& batch = batches_.at(id);
    // From here on it cannot be cancelled.
    if (state == BatchState::kCompleted) batch.Reach(BatchState::kFinalizing, UnixSeconds());
  }
  if (state == BatchState::kExpired) {
    work.pending.clear();
    for (const Pending& pending : unrun) {
      const LineSpan span = work.lines[pending.line];
      const auto custom_id = CustomIdOf(TextOf(*work.input).substr(span.offset, span.bytes));
      const std::string line = UnrunLine(UniqueId("batch_req_"), custom_id.value_or(""),
                                         "batch_expired", "the batch's 24 hours were over");
      if (!WriteLine(id, false, line)) return;  // it has failed
      failed_.Add();
      const MutexLock lock(mutex_);
      ++batches_.at(id).failed;
    }
  }
  works_.erase(id);
  const MutexLock lock(mutex_);
  Batch& batch = batches_.at(id);
  std::optional<int64_t> expires;
  if (batch.output_seconds) expires = UnixSeconds() + *batch.output_seconds;
  for (std::string* file : {&batch.output_file, &batch.error_file}) {
    if (!file->empty() && !files_->Finish(*file, expires).ok()) file->clear();
  }
  files_->Release(batch.input_file);
  batch.Reach(state, UnixSeconds());
  Save(batch);
}

}  // namespace pelton
