#include "serving/tenant/tenant_file.h"

#include <fcntl.h>
#include <fmt/chrono.h>
#include <fmt/format.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <charconv>
#include <chrono>
#include <cstdio>
#include <set>

#include "base/file_write.h"
#include "serving/request/field_reader.h"

namespace pelton {
namespace {

constexpr size_t kMaxFileBytes = 4 << 20;
constexpr size_t kMaxTenants = 10'000;
constexpr size_t kMaxModels = 1000;
constexpr double kMaxWeight = 1000;
constexpr std::array<std::string_view, 4> kClasses = {"realtime", "standard", "batch",
                                                      "background"};

void ReadTimeField(FieldReader& reader, const char* name, std::optional<int64_t>* out) {
  std::string text;
  reader.String(name, &text);
  if (text.empty()) return;
  *out = ParseTime(text);
  if (!*out) reader.Fail(name, "a time such as 2027-01-31T00:00:00Z");
}

void ReadDigest(FieldReader& reader, const char* name, TenantSpec* tenant) {
  std::string hex;
  reader.String(name, &hex);
  const std::optional<KeyDigest> digest = DigestOfHex(hex);
  if (!digest) return reader.Fail(name, "64 lower-case hexadecimal digits");
  tenant->digests.push_back(*digest);
}

void ReadLimits(FieldReader& reader, TenantLimits* limits) {
  reader.Whole("requests_per_minute", &limits->requests_per_minute);
  reader.Whole("tokens_per_minute", &limits->tokens_per_minute);
  reader.Whole("tokens_per_day", &limits->tokens_per_day);
  reader.Whole("max_concurrent", &limits->max_concurrent);
  float weight = 1;
  reader.Float("weight", &weight);
  limits->weight = static_cast<double>(weight);
  if (!(limits->weight > 0 && limits->weight <= kMaxWeight)) {
    reader.Fail("weight", "a number above 0, at most 1000");
  }
  reader.String("service_class", &limits->service_class);
  if (std::find(kClasses.begin(), kClasses.end(), limits->service_class) == kClasses.end()) {
    reader.Fail("service_class", "realtime, standard, batch or background");
  }
  reader.Bool("admin", &limits->admin);
  reader.Strings("models", &limits->models);
  if (limits->models.size() > kMaxModels) reader.Fail("models", "at most 1000 names");
}

Result<TenantSpec> ReadTenant(const Json& object) {
  if (!object.is_object()) return InvalidArgument("found no object, expected one for each tenant");
  TenantSpec tenant;
  FieldReader reader(object);
  reader.String("name", &tenant.name);
  if (!IsTenantName(tenant.name)) reader.Fail("name", "1 to 64 letters, digits and \"._-\"");
  ReadDigest(reader, "sha256", &tenant);
  std::optional<int64_t> created, until;
  if (reader.Has("previous_sha256")) {
    ReadDigest(reader, "previous_sha256", &tenant);
    ReadTimeField(reader, "previous_until", &until);
    if (!until) reader.Fail("previous_until", "a time beside previous_sha256");
    tenant.previous_until = until.value_or(0);
  }
  reader.String("salt", &tenant.salt);
  if (tenant.salt.empty() || tenant.salt.size() > 128) reader.Fail("salt", "1 to 128 characters");
  ReadTimeField(reader, "created", &created);
  tenant.created = created.value_or(0);
  ReadTimeField(reader, "expires", &tenant.expires);
  ReadLimits(reader, &tenant.limits);
  reader.RefuseUnknown();
  if (!reader.ok()) return reader.status();
  return tenant;
}

Json LimitsJson(Json json, const TenantLimits& limits) {
  const auto add = [&](const char* name, uint64_t value) {
    if (value > 0) json[name] = value;
  };
  add("requests_per_minute", limits.requests_per_minute);
  add("tokens_per_minute", limits.tokens_per_minute);
  add("tokens_per_day", limits.tokens_per_day);
  add("max_concurrent", limits.max_concurrent);
  if (limits.weight != 1) json["weight"] = limits.weight;
  json["service_class"] = limits.service_class;
  if (!limits.models.empty()) json["models"] = limits.models;
  if (limits.admin) json["admin"] = true;
  return json;
}

// Closes a descriptor at the end of a scope.
struct OpenFile {
  int fd;
  ~OpenFile() {
    if (fd >= 0) ::close(fd);
  }
};

}  // namespace

bool IsTenantName(std::string_view name) {
  return !name.empty() && name.size() <= 64 && std::all_of(name.begin(), name.end(), [](char c) {
    return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '.' ||
           c == '_' || c == '-';
  });
}

std::string TimeText(int64_t seconds) {
  return fmt::format("{:%Y-%m-%dT%H:%M:%S}Z", fmt::gmtime(static_cast<std::time_t>(seconds)));
}

std::optional<int64_t> ParseTime(std::string_view text) {
  constexpr std::string_view kForm = "0000-00-00T00:00:00Z";
  if (text.size() != kForm.size()) return std::nullopt;
  for (size_t i = 0; i < text.size(); ++i) {
    const bool digit = text[i] >= '0' && text[i] <= '9';
    if (kForm[i] == '0' ? !digit : text[i] != kForm[i]) return std::nullopt;
  }
  const auto number = [&](size_t at, size_t count) {
    int value = 0;
    std::from_chars(text.data() + at, text.data() + at + count, value);
    return value;
  };
  const std::chrono::year_month_day day(std::chrono::year(number(0, 4)),
                                        std::chrono::month(static_cast<unsigned>(number(5, 2))),
                                        std::chrono::day(static_cast<unsigned>(number(8, 2))));
  const int hour = number(11, 2), minute = number(14, 2), second = number(17, 2);
  if (!day.ok() || hour > 23 || minute > 59 || second > 59 || number(0, 4) < 1970) {
    return std::nullopt;
  }
  const int64_t days = std::chrono::sys_days(day).time_since_epoch().count();
  return days * 86'400 + hour * 3600 + minute * 60 + second;
}

Result<std::vector<TenantSpec>> ParseTenantFile(std::string_view text) {
  if (text.size() > kMaxFileBytes) return InvalidArgument("found more than 4 MiB");
  ASSIGN_OR_RETURN(const Json json, ParseJson(text));
  if (!json.is_object()) return InvalidArgument("found no object, expected \"tenants\" in one");
  FieldReader reader(json);
  int64_t version = 0;
  reader.Whole("version", &version);
  if (version != 1) reader.Fail("version", "1");
  const Json* list = reader.Find("tenants");
  if (list == nullptr || !list->is_array() || list->size() > kMaxTenants) {
    reader.Fail("tenants", "a list of at most 10000");
  }
  reader.RefuseUnknown();
  if (!reader.ok()) return reader.status();
  std::vector<TenantSpec> tenants;
  std::set<std::string> names, salts;
  std::set<KeyDigest> digests;
  for (const Json& object : *list) {
    Result<TenantSpec> tenant = ReadTenant(object);
    if (!tenant.ok()) {
      return tenant.status().WithContext(fmt::format("tenants[{}]", tenants.size()));
    }
    bool fresh = names.insert(tenant->name).second && salts.insert(tenant->salt).second;
    for (const KeyDigest& digest : tenant->digests) fresh &= digests.insert(digest).second;
    if (!fresh) {
      return InvalidArgument(fmt::format(
          "tenants[{}]: found a name, key or salt that another one has", tenants.size()));
    }
    tenants.push_back(std::move(tenant).value());
  }
  return tenants;
}

std::string TenantFileText(const std::vector<TenantSpec>& tenants) {
  Json list = Json::array();
  for (const TenantSpec& tenant : tenants) {
    Json json = {{"name", tenant.name}, {"sha256", HexOf(tenant.digests[0])}};
    if (tenant.digests.size() > 1) {
      json["previous_sha256"] = HexOf(tenant.digests[1]);
      json["previous_until"] = TimeText(tenant.previous_until);
    }
    json["salt"] = tenant.salt;
    json["created"] = TimeText(tenant.created);
    if (tenant.expires) json["expires"] = TimeText(*tenant.expires);
    list.push_back(LimitsJson(std::move(json), tenant.limits));
  }
  return Json{{"version", 1}, {"tenants", std::move(list)}}.dump(2) + "\n";
}

Result<std::vector<TenantSpec>> ReadTenantFile(const std::string& path) {
  const OpenFile file{::open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK)};
  if (file.fd < 0) {
    if (errno == ENOENT) return NotFound(path + ": there is no such file");
    return FileError(path, "read");
  }
  struct stat info {};
  if (::fstat(file.fd, &info) != 0) return FileError(path, "read");
  if (!S_ISREG(info.st_mode)) return InvalidArgument(path + ": is not a regular file");
  if ((info.st_mode & 077) != 0) {
    return InvalidArgument(
        fmt::format("{}: found mode {:o}, expected 600: others must not see who has keys", path,
                    info.st_mode & 0777));
  }
  std::string text;
  std::array<char, 65536> buffer;
  while (text.size() <= kMaxFileBytes) {
    const ssize_t got = ::read(file.fd, buffer.data(), buffer.size());
    if (got < 0 && errno == EINTR) continue;
    if (got < 0) return FileError(path, "read");
    if (got == 0) break;
    text.append(buffer.data(), static_cast<size_t>(got));
  }
  Result<std::vector<TenantSpec>> tenants = ParseTenantFile(text);
  if (!tenants.ok()) return tenants.status().WithContext(path);
  return tenants;
}

Status WriteTenantFile(const std::string& path, const std::vector<TenantSpec>& tenants) {
  const std::string draft = path + "." + RandomHex(8);
  Status status;
  {
    const OpenFile file{::open(draft.c_str(), O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600)};
    if (file.fd < 0) return FileError(draft, "written");
    status = WriteAll(file.fd, TenantFileText(tenants), draft);
    if (status.ok() && ::fsync(file.fd) != 0) status = FileError(draft, "written");
  }
  if (status.ok() && ::rename(draft.c_str(), path.c_str()) != 0) {
    status = FileError(path, "written");
  }
  if (!status.ok()) ::unlink(draft.c_str());
  return status;
}

}  // namespace pelton
