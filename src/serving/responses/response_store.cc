#include "serving/responses/response_store.h"

#include <fmt/format.h>

#include <algorithm>
#include <utility>

#include "serving/responses/response_items.h"

namespace pelton {
namespace {

// What the maps and lists take for a response and for an item, roughly.
constexpr size_t kResponseBytes = 512;
constexpr size_t kItemBytes = 192;

// A text of our own making.
Json Parsed(const std::string& text) { return Json::parse(text, nullptr, false); }

}  // namespace

size_t StoredResponse::bytes() const {
  size_t sum = kResponseBytes + 2 * id.size() + previous_id.size() + body.size() + input.size();
  for (const std::string& item : item_ids) sum += kItemBytes + 2 * item.size() + id.size();
  return sum;
}

ApiError NoSuchResponse(std::string_view id, std::string param) {
  return {.status = 404,
          .message = fmt::format("{}{}no response \"{}\" is stored: it may have been deleted, or "
                                 "given way to newer ones",
                                 param, param.empty() ? "" : ": ", id.substr(0, 80)),
          .param = std::move(param),
          .code = "response_not_found"};
}

ResponseStore::ResponseStore(ResponseStoreLimits limits, MetricRegistry& metrics)
    : limits_(limits),
      bytes_gauge_(metrics.AddGauge("pelton_response_store_bytes", "",
                                    "Bytes of the responses that are stored")),
      count_gauge_(
          metrics.AddGauge("pelton_response_store_responses", "", "Responses that are stored")),
      evicted_(metrics.AddCounter("pelton_response_store_evicted_total", "",
                                  "Responses that gave way to newer ones")) {}

void ResponseStore::Report() {
  bytes_gauge_.Set(static_cast<int64_t>(bytes_));
  count_gauge_.Set(static_cast<int64_t>(count_));
}

void ResponseStore::Insert(Shelf& shelf, StoredResponse response) {
  const size_t bytes = response.bytes();
  for (const std::string& item : response.item_ids) shelf.owners[item] = response.id;
  shelf.responses.push_front(std::make_shared<const StoredResponse>(std::move(response)));
  shelf.by_id[shelf.responses.front()->id] = shelf.responses.begin();
  shelf.bytes += bytes;
  bytes_ += bytes;
  ++count_;
}

void ResponseStore::Remove(Shelf& shelf, decltype(Shelf::responses)::iterator at) {
  const StoredResponse& response = **at;
  for (const std::string& item : response.item_ids) {
    const auto owner = shelf.owners.find(item);
    if (owner != shelf.owners.end() && owner->second == response.id) shelf.owners.erase(owner);
  }
  shelf.bytes -= response.bytes();
  bytes_ -= response.bytes();
  --count_;
  shelf.by_id.erase(response.id);
  shelf.responses.erase(at);
}

void ResponseStore::Trim() {
  while (bytes_ > limits_.max_bytes || count_ > limits_.max_responses) {
    const bool by_bytes = bytes_ > limits_.max_bytes;
    const auto most = std::ranges::max_element(shelves_, {}, [&](const auto& entry) {
      return by_bytes ? entry.second.bytes : entry.second.responses.size();
    });
    Remove(most->second, std::prev(most->second.responses.end()));
    evicted_.Add();
    if (most->second.responses.empty()) shelves_.erase(most);
  }
}

void ResponseStore::Put(const std::string& tenant, StoredResponse response) {
  if (!enabled()) return;
  const MutexLock lock(mutex_);
  Insert(shelves_[tenant], std::move(response));
  Trim();
  Report();
}

bool ResponseStore::Finish(const std::string& tenant, const std::string& id, std::string body,
                           std::vector<std::string> item_ids) {
  const MutexLock lock(mutex_);
  const auto shelf = shelves_.find(tenant);
  if (shelf == shelves_.end()) return false;
  const auto found = shelf->second.by_id.find(id);
  if (found == shelf->second.by_id.end() || !(*found->second)->cancel) return false;
  StoredResponse response = **found->second;
  Remove(shelf->second, found->second);
  response.body = std::move(body);
  response.item_ids = std::move(item_ids);
  response.cancel = nullptr;
  Insert(shelf->second, std::move(response));
  Trim();
  Report();
  return true;
}

std::shared_ptr<const StoredResponse> ResponseStore::Use(const std::string& tenant,
                                                         const std::string& id) {
  const auto shelf = shelves_.find(tenant);
  if (shelf == shelves_.end()) return nullptr;
  const auto found = shelf->second.by_id.find(id);
  if (found == shelf->second.by_id.end()) return nullptr;
  auto& list = shelf->second.responses;
  list.splice(list.begin(), list, found->second);
  return *found->second;
}

std::shared_ptr<const StoredResponse> ResponseStore::Find(const std::string& tenant,
                                                          const std::string& id) {
  const MutexLock lock(mutex_);
  return Use(tenant, id);
}

std::shared_ptr<const StoredResponse> ResponseStore::FindItem(const std::string& tenant,
                                                              const std::string& item_id) {
  const MutexLock lock(mutex_);
  const auto shelf = shelves_.find(tenant);
  if (shelf == shelves_.end()) return nullptr;
  const auto owner = shelf->second.owners.find(item_id);
  return owner == shelf->second.owners.end() ? nullptr : Use(tenant, owner->second);
}

bool ResponseStore::Erase(const std::string& tenant, const std::string& id) {
  std::function<void()> cancel;
  {
    const MutexLock lock(mutex_);
    const auto shelf = shelves_.find(tenant);
    if (shelf == shelves_.end()) return false;
    const auto found = shelf->second.by_id.find(id);
    if (found == shelf->second.by_id.end()) return false;
    cancel = (*found->second)->cancel;
    Remove(shelf->second, found->second);
    if (shelf->second.responses.empty()) shelves_.erase(shelf);
    Report();
  }
  if (cancel) cancel();
  return true;
}

std::optional<ApiError> ResponseStore::Conversation(const std::string& tenant,
                                                    const std::string& id, Json* items) {
  std::vector<std::shared_ptr<const StoredResponse>> turns;  // the last first
  size_t text_bytes = 0;
  for (std::string at = id; !at.empty(); at = turns.back()->previous_id) {
    std::shared_ptr<const StoredResponse> turn = Find(tenant, at);
    if (turn == nullptr) return NoSuchResponse(at, "previous_response_id");
    if (turn->cancel) {
      return ApiError{.message = fmt::format("previous_response_id: \"{}\" has not ended", at),
                      .param = "previous_response_id"};
    }
    text_bytes += turn->body.size() + turn->input.size();
    turns.push_back(std::move(turn));
    if (turns.size() > kMaxItems || text_bytes > limits_.max_bytes) {
      return ApiError{.message = "previous_response_id: the conversation is too long",
                      .param = "previous_response_id"};
    }
  }
  *items = Json::array();
  for (auto turn = turns.rbegin(); turn != turns.rend(); ++turn) {
    Json input = Parsed((*turn)->input);
    Json body = Parsed((*turn)->body);
    for (Json& item : input) items->push_back(std::move(item));
    for (Json& item : body["output"]) items->push_back(std::move(item));
    if (items->size() > kMaxItems) {
      return ApiError{.message = fmt::format("previous_response_id: the conversation has more than "
                                             "{} items",
                                             kMaxItems),
                      .param = "previous_response_id"};
    }
  }
  return std::nullopt;
}

size_t ResponseStore::bytes() const {
  const MutexLock lock(mutex_);
  return bytes_;
}

}  // namespace pelton
