#pragma once

#include <condition_variable>
#include <functional>
#include <memory>
#include <mutex>
#include <string>
#include <string_view>
#include <thread>
#include <unordered_map>
#include <vector>

#include "base/metrics.h"
#include "base/mutex.h"
#include "base/status.h"
#include "serving/tenant/tenant.h"
#include "serving/tenant/tenant_file.h"

namespace pelton {

// Finds the tenant of a key. Tenants come from a file that may be replaced at any time, and from
// keys without limits of their own. Any thread.
class TenantDirectory {
 public:
  // Borrows the registry. At most 200 tenants get metrics of their own; the rest share "other".
  explicit TenantDirectory(MetricRegistry& metrics);
  ~TenantDirectory();
  TenantDirectory(const TenantDirectory&) = delete;
  TenantDirectory& operator=(const TenantDirectory&) = delete;

  // A tenant without limits for a key; before Follow and the first request.
  void AddKey(std::string_view key);
  // AddKey for each line of a file; empty lines and those that begin with # are passed over.
  // NotFound or InvalidArgument, naming the file.
  Status AddKeyFile(const std::string& path);
  // Takes the tenants of a file (ReadTenantFile) and follows it: a thread looks for changes each
  // second. A file that cannot be used leaves the tenants as they are; `report` gets a line about
  // that and about every change. Once.
  Status Follow(const std::string& path, std::function<void(std::string_view line)> report);
  // Reads the file again, changed or not. No effect without Follow.
  void Reload();

  // Whether there is nobody, so that everybody may ask.
  bool empty() const;
  // Null: the key is nobody's or has expired.
  std::shared_ptr<Tenant> Find(std::string_view key, int64_t unix_seconds) const;
  // Everybody who has a key now, by name; who asks without one where nobody needs it.
  std::vector<std::shared_ptr<Tenant>> List() const;
  // The tenant with this identity, if he has a key that is valid, or is who asks without one.
  std::shared_ptr<Tenant> FindIdentity(const std::string& identity, int64_t unix_seconds) const;
  // Who asks where nobody needs a key: no limits, an empty salt.
  const std::shared_ptr<Tenant>& anonymous() const { return anonymous_; }

 private:
  struct Entry {
    KeyDigest digest;
    int64_t until;  // Unix seconds
    std::shared_ptr<Tenant> tenant;
  };
  // By the first bytes of the digest: an attacker cannot choose those of a key that he guesses.
  using Index = std::unordered_multimap<uint64_t, Entry>;
  struct FileStamp {
    int64_t device = 0, inode = 0, bytes = 0, seconds = 0, nanoseconds = 0;
    bool operator==(const FileStamp&) const = default;
  };

  std::shared_ptr<const Index> Current() const;
  TenantMetrics MetricsFor(const std::string& name) REQUIRES_LOCK(mutex_);
  void Publish(const std::vector<TenantSpec>& specs) REQUIRES_LOCK(mutex_);
  Status Load();
  void Watch();
  FileStamp ReadStamp() const;

  MetricRegistry& metrics_;
  const std::shared_ptr<Tenant> anonymous_;
  std::string path_;
  std::function<void(std::string_view)> report_;

  mutable Mutex mutex_;
  std::shared_ptr<const Index> index_ GUARDED_BY(mutex_);  // readers keep the one that they found
  std::vector<TenantSpec> static_specs_ GUARDED_BY(mutex_);
  // By name, also those whose keys are gone, so that taking a key away and giving it back clears no
  // bucket; as many as there ever were in this process, at most kMaxRemembered.
  std::unordered_map<std::string, std::shared_ptr<Tenant>> tenants_ GUARDED_BY(mutex_);
  std::unordered_map<std::string, bool> with_metrics_ GUARDED_BY(mutex_);

  std::mutex watch_mutex_;
  std::condition_variable watch_wake_;
  bool stopping_ = false;
  FileStamp stamp_;
  std::mutex load_mutex_;
  std::thread watcher_;
};

}  // namespace pelton
