#pragma once

#include <cstddef>
#include <cstdint>
#include <deque>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/clock.h"
#include "base/mutex.h"
#include "runtime/engine/request.h"

namespace pelton {

// One answer to a request: what was asked and how long its parts took.
struct JournalEntry {
  std::string request_id;
  size_t choice = 0;  // among the request's answers
  std::string path;   // of the request
  std::string model;
  std::string tenant;
  ServiceClass service_class = ServiceClass::kStandard;
  int64_t began_unix_ns = 0;           // when the engine got it
  std::optional<FinishReason> reason;  // none: it runs
  int64_t queue_ns = 0;                // as FinishEvent has them; so far, of one that runs
  int64_t prompt_ns = 0;
  int64_t output_ns = 0;
  size_t prompt_tokens = 0;
  size_t cached_tokens = 0;  // this and the next two: 0 as long as it runs
  size_t output_tokens = 0;
  size_t preemptions = 0;
};

// Remembers what runs and the last answers that ended, for those who watch the server. Any thread.
class RequestJournal {
 public:
  static constexpr size_t kMostEnded = 512;

  // Borrows the clock.
  explicit RequestJournal(const Clock& clock) : clock_(clock) {}

  // An answer is handed to the engine. Texts are cut to what fits a line. The result names it in
  // the calls below, which do nothing for a name that has ended.
  uint64_t Begin(JournalEntry entry);
  void Started(uint64_t name);     // its first step begins
  void FirstToken(uint64_t name);  // and its prompt has been read
  void End(uint64_t name, const FinishEvent& event);
  // The engine refused it: it is forgotten.
  void Drop(uint64_t name);

  // What this tenant asked for, the newest first.
  std::vector<JournalEntry> Read(std::string_view tenant, size_t most) const;

 private:
  struct Live {
    JournalEntry entry;
    int64_t submitted_ns;
    int64_t started_ns = -1;  // -1: not yet
    int64_t first_token_ns = -1;
  };
  struct Ended {
    uint64_t name;
    JournalEntry entry;
  };
  static JournalEntry SoFar(const Live& live, int64_t now_ns);

  const Clock& clock_;
  mutable Mutex mutex_;
  uint64_t next_name_ GUARDED_BY(mutex_) = 1;
  std::map<uint64_t, Live> live_ GUARDED_BY(mutex_);
  std::deque<Ended> ended_ GUARDED_BY(mutex_);  // in the order of their ends
};

}  // namespace pelton
