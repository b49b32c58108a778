#include "serving/journal/request_journal.h"

#include <algorithm>
#include <chrono>
#include <utility>

namespace pelton {
namespace {

constexpr size_t kMostText = 200;  // bytes of each text

int64_t UnixNowNs() {
  const auto since = std::chrono::system_clock::now().time_since_epoch();
  return std::chrono::duration_cast<std::chrono::nanoseconds>(since).count();
}

// Cut between characters.
void CutText(std::string* text) {
  if (text->size() <= kMostText) return;
  size_t end = kMostText;
  while (end > 0 && (static_cast<unsigned char>((*text)[end]) & 0xc0) == 0x80) --end;
  text->resize(end);
}

}  // namespace

uint64_t RequestJournal::Begin(JournalEntry entry) {
  for (std::string* text : {&entry.request_id, &entry.path, &entry.model}) CutText(text);
  entry.began_unix_ns = UnixNowNs();
  const int64_t now_ns = clock_.NowNs();
  const MutexLock lock(mutex_);
  const uint64_t name = next_name_++;
  live_.emplace(name, Live{.entry = std::move(entry), .submitted_ns = now_ns});
  return name;
}

void RequestJournal::Started(uint64_t name) {
  const int64_t now_ns = clock_.NowNs();
  const MutexLock lock(mutex_);
  if (const auto found = live_.find(name); found != live_.end()) found->second.started_ns = now_ns;
}

void RequestJournal::FirstToken(uint64_t name) {
  const int64_t now_ns = clock_.NowNs();
  const MutexLock lock(mutex_);
  if (const auto found = live_.find(name); found != live_.end()) {
    found->second.first_token_ns = now_ns;
  }
}

void RequestJournal::End(uint64_t name, const FinishEvent& event) {
  const MutexLock lock(mutex_);
  auto node = live_.extract(name);
  if (node.empty()) return;
  JournalEntry& entry = node.mapped().entry;
  entry.reason = event.reason;
  entry.queue_ns = event.queue_ns;
  entry.prompt_ns = event.prompt_ns;
  entry.output_ns = event.output_ns;
  entry.prompt_tokens = event.prompt_tokens;
  entry.cached_tokens = event.cached_tokens;
  entry.output_tokens = event.output_tokens;
  entry.preemptions = event.preemptions;
  ended_.push_back({name, std::move(entry)});
  if (ended_.size() > kMostEnded) ended_.pop_front();
}

void RequestJournal::Drop(uint64_t name) {
  const MutexLock lock(mutex_);
  live_.erase(name);
}

JournalEntry RequestJournal::SoFar(const Live& live, int64_t now_ns) {
  JournalEntry entry = live.entry;
  const int64_t started = live.started_ns >= 0 ? live.started_ns : now_ns;
  const int64_t first = live.first_token_ns >= 0 ? live.first_token_ns : now_ns;
  entry.queue_ns = started - live.submitted_ns;
  entry.prompt_ns = first - started;
  entry.output_ns = now_ns - first;
  return entry;
}

std::vector<JournalEntry> RequestJournal::Read(std::string_view tenant, size_t most) const {
  const int64_t now_ns = clock_.NowNs();
  std::vector<Ended> found;
  {
    const MutexLock lock(mutex_);
    for (const auto& [name, live] : live_) {
      if (live.entry.tenant == tenant) found.push_back({name, SoFar(live, now_ns)});
    }
    for (const Ended& ended : ended_) {
      if (ended.entry.tenant == tenant) found.push_back(ended);
    }
  }
  std::sort(found.begin(), found.end(),
            [](const Ended& a, const Ended& b) { return a.name > b.name; });
  if (found.size() > most) found.resize(most);
  std::vector<JournalEntry> entries;
  entries.reserve(found.size());
  for (Ended& each : found) entries.push_back(std::move(each.entry));
  return entries;
}

}  // namespace pelton
