#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <list>
#include <memory>
#include <optional>
#include <string>
#include <unordered_map>
#include <vector>

#include "base/metrics.h"
#include "base/mutex.h"
#include "serving/api/api_error.h"
#include "serving/request/field_reader.h"

namespace pelton {

struct ResponseStoreLimits {
  size_t max_bytes = size_t{64} << 20;  // of what is kept; 0: nothing is
  size_t max_responses = 4096;
};

// A response that is kept.
struct StoredResponse {
  std::string id;
  std::string previous_id;            // the response that it goes on from, or empty
  std::string body;                   // the response itself, as JSON
  std::string input;                  // the items of its request alone, as a JSON list
  std::vector<std::string> item_ids;  // of its output
  bool background = false;
  std::function<void()> cancel;  // ends its generation; empty: it has ended

  size_t bytes() const;
};

// Keeps responses so that they can be asked for and gone on from. Nothing of one tenant's can be
// found by another. When a limit is passed, the tenant that holds most loses what it has not used
// for longest (what still runs, too: nobody hears of it then); what is larger than the limit is not
// kept. In memory only. Any thread.
class ResponseStore {
 public:
  // Borrows the registry for its lifetime.
  ResponseStore(ResponseStoreLimits limits, MetricRegistry& metrics);

  bool enabled() const { return limits_.max_bytes > 0 && limits_.max_responses > 0; }

  void Put(const std::string& tenant, StoredResponse response);
  // A response that runs came to its end. False, and nothing happens, if it is gone or has ended.
  bool Finish(const std::string& tenant, const std::string& id, std::string body,
              std::vector<std::string> item_ids);
  // Null: it is not there. Counts as use.
  std::shared_ptr<const StoredResponse> Find(const std::string& tenant, const std::string& id);
  // The response that has this item in its output; null: none.
  std::shared_ptr<const StoredResponse> FindItem(const std::string& tenant,
                                                 const std::string& item_id);
  // Ends its generation if it runs: the caller must hold no lock that its answer needs. False: it
  // is not there.
  bool Erase(const std::string& tenant, const std::string& id);

  // All items of the conversation up to and with this response's output, in order. The refusal if
  // one of its responses is not kept any more, or if there are too many items.
  std::optional<ApiError> Conversation(const std::string& tenant, const std::string& id,
                                       Json* items);

  size_t bytes() const;

 private:
  struct Shelf {                                                 // of one tenant
    std::list<std::shared_ptr<const StoredResponse>> responses;  // last used first
    std::unordered_map<std::string, decltype(responses)::iterator> by_id;
    std::unordered_map<std::string, std::string> owners;  // of items: the response's id
    size_t bytes = 0;
  };

  void Insert(Shelf& shelf, StoredResponse response) REQUIRES_LOCK(mutex_);
  void Remove(Shelf& shelf, decltype(Shelf::responses)::iterator at) REQUIRES_LOCK(mutex_);
  void Trim() REQUIRES_LOCK(mutex_);
  std::shared_ptr<const StoredResponse> Use(const std::string& tenant, const std::string& id)
      REQUIRES_LOCK(mutex_);
  void Report() REQUIRES_LOCK(mutex_);

  const ResponseStoreLimits limits_;
  Gauge& bytes_gauge_;
  Gauge& count_gauge_;
  Counter& evicted_;
  mutable Mutex mutex_;
  std::unordered_map<std::string, Shelf> shelves_ GUARDED_BY(mutex_);
  size_t bytes_ GUARDED_BY(mutex_) = 0;
  size_t count_ GUARDED_BY(mutex_) = 0;
};

// The refusal of an id that nothing is kept under; `param` names the field that has it, if any.
ApiError NoSuchResponse(std::string_view id, std::string param = "");

}  // namespace pelton
