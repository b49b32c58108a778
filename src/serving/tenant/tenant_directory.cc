#include "serving/tenant/tenant_directory.h"

#include <fmt/format.h>
#include <sys/stat.h>

#include <algorithm>
#include <chrono>
#include <cstring>
#include <limits>
#include <map>
#include <utility>

#include "base/mapped_file.h"

namespace pelton {
namespace {

constexpr size_t kMostMetrics = 200;
constexpr size_t kMaxRemembered = 100'000;
constexpr int64_t kForever = std::numeric_limits<int64_t>::max();

uint64_t FirstBytes(const KeyDigest& digest) {
  uint64_t word;
  std::memcpy(&word, digest.data(), sizeof word);
  return word;
}

}  // namespace

TenantDirectory::TenantDirectory(MetricRegistry& metrics)
    : metrics_(metrics),
      anonymous_(std::make_shared<Tenant>(
          TenantSpec{.name = "anonymous", .limits = {.service_class = "realtime", .admin = true}},
          TenantMetrics(metrics, "anonymous"))),
      index_(std::make_shared<const Index>()) {}

TenantDirectory::~TenantDirectory() {
  {
    const std::lock_guard lock(watch_mutex_);
    stopping_ = true;
  }
  watch_wake_.notify_all();
  if (watcher_.joinable()) watcher_.join();
}

void TenantDirectory::AddKey(std::string_view key) {
  const MutexLock lock(mutex_);
  const KeyDigest digest = DigestOf(key);
  // The salt is the same in every process that has the key.
  static_specs_.push_back({.name = fmt::format("key-{}", static_specs_.size() + 1),
                           .digests = {digest},
                           .salt = "key:" + HexOf(DigestOf("pelton salt " + HexOf(digest))),
                           .limits = {.service_class = "realtime", .admin = true}});
  Publish({});
}

Status TenantDirectory::AddKeyFile(const std::string& path) {
  ASSIGN_OR_RETURN(const MappedFile file, MappedFile::Open(path));
  std::string_view text(reinterpret_cast<const char*>(file.bytes().data()), file.bytes().size());
  size_t added = 0;
  while (!text.empty()) {
    std::string_view line = text.substr(0, text.find('\n'));
    text.remove_prefix(std::min(text.size(), line.size() + 1));
    if (!line.empty() && line.back() == '\r') line.remove_suffix(1);
    if (line.empty() || line.front() == '#') continue;
    AddKey(line);
    ++added;
  }
  if (added == 0) return InvalidArgument(path + ": found no key, expected one a line");
  return OkStatus();
}

TenantMetrics TenantDirectory::MetricsFor(const std::string& name) {
  if (with_metrics_.size() < kMostMetrics) with_metrics_.emplace(name, true);
  return {metrics_, with_metrics_.contains(name) ? name : "other"};
}

void TenantDirectory::Publish(const std::vector<TenantSpec>& specs) {
  auto index = std::make_shared<Index>();
  const auto add = [&](const TenantSpec& spec) REQUIRES_LOCK(mutex_) {
    std::shared_ptr<Tenant>& tenant = tenants_[spec.name];
    // Another salt is another tenant with the old one's name.
    if (tenant == nullptr || tenant->salt() != spec.salt) {
      tenant = std::make_shared<Tenant>(spec, MetricsFor(spec.name));
    } else {
      tenant->Update(spec);
    }
    const int64_t until = spec.expires.value_or(kForever);
    for (size_t i = 0; i < spec.digests.size(); ++i) {
      index->emplace(FirstBytes(spec.digests[i]),
                     Entry{.digest = spec.digests[i],
                           .until = i == 0 ? until : std::min(until, spec.previous_until),
                           .tenant = tenant});
    }
  };
  if (tenants_.size() > kMaxRemembered) tenants_.clear();
  for (const TenantSpec& spec : static_specs_) add(spec);
  for (const TenantSpec& spec : specs) add(spec);
  index_ = std::move(index);
}

TenantDirectory::FileStamp TenantDirectory::ReadStamp() const {
  struct stat info {};
  if (::stat(path_.c_str(), &info) != 0) return {};
  return {static_cast<int64_t>(info.st_dev), static_cast<int64_t>(info.st_ino),
          static_cast<int64_t>(info.st_size), static_cast<int64_t>(info.st_mtim.tv_sec),
          static_cast<int64_t>(info.st_mtim.tv_nsec)};
}

Status TenantDirectory::Load() {
  const std::lock_guard load(load_mutex_);
  ASSIGN_OR_RETURN(const std::vector<TenantSpec> specs, ReadTenantFile(path_));
  const MutexLock lock(mutex_);
  for (const TenantSpec& spec : specs) {
    for (const TenantSpec& own : static_specs_) {
      if (own.name == spec.name) {
        return InvalidArgument(
            fmt::format("{}: found the name \"{}\", which --api-key gave away", path_, spec.name));
      }
    }
  }
  Publish(specs);
  return OkStatus();
}

Status TenantDirectory::Follow(const std::string& path,
                               std::function<void(std::string_view line)> report) {
  path_ = path;
  report_ = std::move(report);
  stamp_ = ReadStamp();
  RETURN_IF_ERROR(Load());
  watcher_ = std::thread([this] { Watch(); });
  return OkStatus();
}

void TenantDirectory::Reload() {
  if (path_.empty()) return;
  const Status status = Load();
  report_(status.ok() ? path_ + ": the keys were read again"
                      : status.message() + "; the keys stay as they were");
}

void TenantDirectory::Watch() {
  std::unique_lock lock(watch_mutex_);
  while (!stopping_) {
    watch_wake_.wait_for(lock, std::chrono::seconds(1));
    if (stopping_) return;
    const FileStamp stamp = ReadStamp();
    if (stamp == stamp_) continue;
    stamp_ = stamp;
    Reload();
  }
}

bool TenantDirectory::empty() const {
  if (!path_.empty()) return false;  // a file without keys lets nobody in
  const MutexLock lock(mutex_);
  return index_->empty();
}

std::shared_ptr<const TenantDirectory::Index> TenantDirectory::Current() const {
  const MutexLock lock(mutex_);
  return index_;
}

std::shared_ptr<Tenant> TenantDirectory::Find(std::string_view key, int64_t unix_seconds) const {
  const std::shared_ptr<const Index> index = Current();
  const KeyDigest digest = DigestOf(key);
  const auto [begin, end] = index->equal_range(FirstBytes(digest));
  for (auto it = begin; it != end; ++it) {
    if (SameDigest(it->second.digest, digest) && unix_seconds < it->second.until) {
      return it->second.tenant;
    }
  }
  return nullptr;
}

std::vector<std::shared_ptr<Tenant>> TenantDirectory::List() const {
  if (empty()) return {anonymous_};
  std::map<std::string, std::shared_ptr<Tenant>> by_name;
  {
    const MutexLock lock(mutex_);
    for (const auto& [bytes, entry] : *index_) by_name[entry.tenant->name()] = entry.tenant;
  }
  std::vector<std::shared_ptr<Tenant>> list;
  list.reserve(by_name.size());
  for (auto& [name, tenant] : by_name) list.push_back(std::move(tenant));
  return list;
}

std::shared_ptr<Tenant> TenantDirectory::FindIdentity(const std::string& identity,
                                                      int64_t unix_seconds) const {
  if (empty()) return identity == anonymous_->identity() ? anonymous_ : nullptr;
  const std::shared_ptr<const Index> index = Current();
  for (const auto& [word, entry] : *index) {
    if (unix_seconds < entry.until && entry.tenant->identity() == identity) return entry.tenant;
  }
  return nullptr;
}

}  // namespace pelton
