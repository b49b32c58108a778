#pragma once

#include <chrono>
#include <cstdint>
#include <deque>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <set>
#include <string>
#include <thread>
#include <vector>

#include "base/mapped_file.h"
#include "base/metrics.h"
#include "base/mutex.h"
#include "net/http/local_exchange.h"
#include "serving/batch/batch.h"
#include "serving/batch/batch_line.h"
#include "serving/batch/file_store.h"
#include "serving/batch/record_folder.h"
#include "serving/tenant/tenant.h"

namespace pelton {

struct BatchOptions {
  std::string folder;  // empty: no files and no batches
  FileStoreLimits files;
  size_t max_in_flight = 32;    // requests of all batches that run at once
  size_t max_unfinished = 100;  // batches of one tenant
};

// Runs batches: each request as if it had come over HTTP, in the class background, on a thread that
// only reads, hands over and writes. What was answered is on disk; what was not when the server
// ended is run again by the next one. Any thread.
class BatchService {
 public:
  // Answers a POST for a tenant; no more urgent than the class background.
  using Dispatch = std::function<void(std::shared_ptr<const HttpRequest> request,
                                      std::shared_ptr<HttpResponse> response,
                                      const std::shared_ptr<Tenant>& tenant)>;
  // The tenant with this identity; null if he is no more.
  using FindTenant = std::function<std::shared_ptr<Tenant>(const std::string& identity)>;

  // Borrows the registry. The errors of RecordFolder and FileStore.
  static Result<std::unique_ptr<BatchService>> Open(const BatchOptions& options,
                                                    MetricRegistry& metrics);
  ~BatchService();  // Stop
  BatchService(const BatchService&) = delete;
  BatchService& operator=(const BatchService&) = delete;

  // Runs from here on. Once.
  void Start(Dispatch dispatch, FindTenant find_tenant);
  // Gives up what is in flight, to be run again by a later process.
  void Stop();

  FileStore& files() { return *files_; }

  // Takes a batch of which tenant, endpoint, input file, metadata and output_seconds are given.
  std::optional<ApiError> Create(Batch* batch);
  std::vector<Batch> List(const std::string& tenant) const;  // oldest first
  std::optional<Batch> Find(const std::string& tenant, const std::string& id) const;
  // The batch as it is then.
  std::optional<ApiError> Cancel(const std::string& tenant, const std::string& id, Batch* batch);

 private:
  using Time = std::chrono::steady_clock::time_point;

  // A request that waits for its turn, or for another try.
  struct Pending {
    size_t line = 0;  // in Work::lines
    size_t tries = 0;
  };
  // What the thread knows of a batch that runs.
  struct Work {
    std::string id, tenant, endpoint;
    std::optional<MappedFile> input;
    std::vector<LineSpan> lines;
    std::deque<Pending> pending;
    size_t in_flight = 0;
    size_t refusals = 0;  // since the last answer: the server, or the tenant's rate, is busy
    Time not_before;
  };
  struct Flight {
    std::string batch;
    Pending pending;
    std::string request_id, custom_id;
    std::unique_ptr<LocalExchange> exchange;
  };

  BatchService(const BatchOptions& options, MetricRegistry& metrics);
  void Save(const Batch& batch) REQUIRES_LOCK(mutex_);
  void Forget() REQUIRES_LOCK(mutex_);

  // Of the thread (batch_runner.cc).
  void Loop();
  bool WaitForWork(std::vector<uint64_t>* arrived, bool* changed);
  void TakeUp();
  void Begin(const Batch& batch);
  void Skip(const std::string& file, std::set<std::string>* done, size_t* count);
  void StartRequests();
  bool StartOne(Work& work, Time now);
  void Settle(uint64_t flight_id);
  bool WriteLine(const std::string& batch, bool ok, const std::string& line);
  void EndWorks();
  void End(Work& work, BatchState state);
  void Fail(const std::string& batch, BatchProblem problem);
  void Report();

  const BatchOptions options_;
  std::unique_ptr<RecordFolder> folder_;
  std::unique_ptr<FileStore> files_;
  Counter& completed_;
  Counter& failed_;
  Gauge& active_;
  Gauge& waiting_;
  Gauge& in_flight_;

  mutable Mutex mutex_;  // also taken by whoever answers: no exchange is called with it held
  CondVar wake_;
  std::map<std::string, Batch> batches_ GUARDED_BY(mutex_);  // by id
  std::vector<uint64_t> arrived_ GUARDED_BY(mutex_);         // flights with news
  bool changed_ GUARDED_BY(mutex_) = true;                   // a batch came, or was cancelled
  bool stopping_ GUARDED_BY(mutex_) = false;

  Dispatch dispatch_;
  FindTenant find_tenant_;
  std::map<std::string, Work> works_;  // of the thread
  std::map<uint64_t, Flight> flights_;
  uint64_t next_flight_ = 1;
  std::string last_started_;  // batches take turns
  std::thread thread_;
};

// The refusal of an id that no batch of the tenant's has.
ApiError NoSuchBatch(std::string_view id);

}  // namespace pelton
