#include "serving/batch/batch_service.h"

#include <fmt/format.h>

#include <algorithm>
#include <tuple>
#include <utility>

#include "serving/api/unique_id.h"

namespace pelton {
namespace {

constexpr std::string_view kBatchPrefix = "batch_";
constexpr size_t kMostBatches = 10'000;  // that are remembered
constexpr int64_t kWindowSeconds = 24 * 3600;

}  // namespace

ApiError NoSuchBatch(std::string_view id) {
  return {.status = 404,
          .message = fmt::format("no batch \"{}\" is known", id.substr(0, 80)),
          .param = "",
          .code = "batch_not_found"};
}

BatchService::BatchService(const BatchOptions& options, MetricRegistry& metrics)
    : options_(options),
      completed_(metrics.AddCounter("pelton_batch_requests_total", "result=\"completed\"",
                                    "Requests of batches that were answered")),
      failed_(metrics.AddCounter("pelton_batch_requests_total", "result=\"failed\"",
                                 "Requests of batches that were answered")),
      active_(metrics.AddGauge("pelton_batches_active", "", "Batches that have not ended")),
      waiting_(metrics.AddGauge("pelton_batch_requests_waiting", "",
                                "Requests of batches that wait to be started")),
      in_flight_(metrics.AddGauge("pelton_batch_requests_running", "",
                                  "Requests of batches that were started")) {}

Result<std::unique_ptr<BatchService>> BatchService::Open(const BatchOptions& options,
                                                         MetricRegistry& metrics) {
  std::unique_ptr<BatchService> service(new BatchService(options, metrics));
  ASSIGN_OR_RETURN(service->folder_, RecordFolder::Open(options.folder));
  ASSIGN_OR_RETURN(service->files_, FileStore::Open(*service->folder_, options.files, metrics));
  ASSIGN_OR_RETURN(const std::vector<RecordFolder::Record> records,
                   service->folder_->Load(kBatchPrefix));
  std::set<std::string> growing;
  const MutexLock lock(service->mutex_);
  for (const RecordFolder::Record& record : records) {
    std::optional<Batch> batch = BatchOfRecord(record.name, record.json);
    if (!batch) {
      return DataLoss(service->folder_->PathOf(record.name) + ".json: is damaged; remove it");
    }
    if (!batch->ended()) {
      growing.insert({batch->output_file, batch->error_file});
      // Held until it ends; a file that is gone is noticed when it begins.
      (void)service->files_->Hold(batch->tenant, batch->input_file);
    }
    const std::string id = batch->id;
    service->batches_.emplace(id, *std::move(batch));
  }
  service->files_->DropUnfinished(growing);
  return service;
}

BatchService::~BatchService() { Stop(); }

void BatchService::Start(Dispatch dispatch, FindTenant find_tenant) {
  dispatch_ = std::move(dispatch);
  find_tenant_ = std::move(find_tenant);
  thread_ = std::thread([this] { Loop(); });
}

void BatchService::Stop() {
  {
    const MutexLock lock(mutex_);
    stopping_ = true;
  }
  wake_.WakeAll();
  if (thread_.joinable()) thread_.join();
  flights_.clear();
}

void BatchService::Save(const Batch& batch) {
  // A record that cannot be written leaves the one before it, from which a later process goes on.
  (void)folder_->Write(batch.id, BatchRecord(batch));
}

// Makes room for another batch: the oldest that has ended is forgotten.
void BatchService::Forget() {
  if (batches_.size() < kMostBatches) return;
  auto oldest = batches_.end();
  for (auto at = batches_.begin(); at != batches_.end(); ++at) {
    if (!at->second.ended()) continue;
    if (oldest == batches_.end() || at->second.created_at < oldest->second.created_at) oldest = at;
  }
  if (oldest == batches_.end()) return;
  folder_->Erase(oldest->first);
  batches_.erase(oldest);
}

std::optional<ApiError> BatchService::Create(Batch* batch) {
  const std::optional<StoredFile> input = files_->Find(batch->tenant, batch->input_file);
  if (!input || !files_->Hold(batch->tenant, batch->input_file)) {
    return ApiError{.status = 404,
                    .message = fmt::format("input_file_id: no file \"{}\" is stored",
                                           batch->input_file.substr(0, 80)),
                    .param = "input_file_id",
                    .code = "file_not_found"};
  }
  const MutexLock lock(mutex_);
  std::optional<ApiError> refusal;
  const auto unfinished = std::ranges::count_if(batches_, [&](const auto& entry) {
    return entry.second.tenant == batch->tenant && !entry.second.ended();
  });
  if (input->purpose != "batch") {
    refusal = ApiError{.message = fmt::format("input_file_id: found a file of purpose \"{}\", "
                                              "expected \"batch\"",
                                              input->purpose),
                       .param = "input_file_id"};
  } else if (static_cast<size_t>(unfinished) >= options_.max_unfinished) {
    refusal = ApiError{
        .status = 429,
        .message = fmt::format("{} batches have not ended, which is the most", unfinished)};
  }
  Forget();
  if (!refusal && batches_.size() >= kMostBatches) {
    refusal = ApiError{.status = 503, .message = "too many batches have not ended"};
  }
  batch->id = UniqueId(kBatchPrefix);
  batch->state = BatchState::kValidating;
  batch->created_at = UnixSeconds();
  batch->expires_at = batch->created_at + kWindowSeconds;
  if (!refusal) {
    const Status written = folder_->Write(batch->id, BatchRecord(*batch));
    if (!written.ok()) {
      refusal = ApiError{.status = 507, .message = "the batch cannot be stored: the disk is full"};
    }
  }
  if (refusal) {
    files_->Release(batch->input_file);
    return refusal;
  }
  batches_.emplace(batch->id, *batch);
  changed_ = true;
  wake_.WakeAll();
  return std::nullopt;
}

std::vector<Batch> BatchService::List(const std::string& tenant) const {
  std::vector<Batch> list;
  {
    const MutexLock lock(mutex_);
    for (const auto& [id, batch] : batches_) {
      if (batch.tenant == tenant) list.push_back(batch);
    }
  }
  std::ranges::sort(list, [](const Batch& a, const Batch& b) {
    return std::tie(a.created_at, a.id) < std::tie(b.created_at, b.id);
  });
  return list;
}

std::optional<Batch> BatchService::Find(const std::string& tenant, const std::string& id) const {
  const MutexLock lock(mutex_);
  const auto found = batches_.find(id);
  if (found == batches_.end() || found->second.tenant != tenant) return std::nullopt;
  return found->second;
}

std::optional<ApiError> BatchService::Cancel(const std::string& tenant, const std::string& id,
                                             Batch* batch) {
  const MutexLock lock(mutex_);
  const auto found = batches_.find(id);
  if (found == batches_.end() || found->second.tenant != tenant) return NoSuchBatch(id);
  Batch& known = found->second;
  if (known.ended()) {
    return ApiError{.message =
                        fmt::format("the batch has ended: it is {}", BatchStateName(known.state))};
  }
  if (known.state == BatchState::kValidating || known.state == BatchState::kInProgress) {
    known.Reach(BatchState::kCancelling, UnixSeconds());
    Save(known);
    changed_ = true;
    wake_.WakeAll();
  }
  *batch = known;
  return std::nullopt;
}

}  // namespace pelton
