#include <fmt/format.h>

#include <algorithm>
#include <chrono>
#include <nlohmann/json.hpp>

#include "command.h"
#include "serving/tenant/tenant_file.h"

namespace pelton {
namespace {

struct KeysOptions {
  std::string action;
  std::string name;
  std::string file;
  int64_t requests_per_minute = 0, tokens_per_minute = 0, tokens_per_day = 0, max_concurrent = 0;
  double weight = 1;
  std::string service_class = "standard";
  std::vector<std::string> models;
  std::string expires;
  bool admin = false;
  int64_t grace_seconds = 0;
  bool json = false;
};

int64_t UnixSeconds() {
  const auto now = std::chrono::system_clock::now().time_since_epoch();
  return std::chrono::duration_cast<std::chrono::seconds>(now).count();
}

nlohmann::ordered_json Describe(const TenantSpec& tenant) {
  const TenantLimits& limits = tenant.limits;
  nlohmann::ordered_json json = {{"name", tenant.name},
                                 {"created", TimeText(tenant.created)},
                                 {"expires", nullptr},
                                 {"requests_per_minute", limits.requests_per_minute},
                                 {"tokens_per_minute", limits.tokens_per_minute},
                                 {"tokens_per_day", limits.tokens_per_day},
                                 {"max_concurrent", limits.max_concurrent},
                                 {"weight", limits.weight},
                                 {"service_class", limits.service_class},
                                 {"models", limits.models},
                                 {"admin", limits.admin}};
  if (tenant.expires) json["expires"] = TimeText(*tenant.expires);
  return json;
}

// The key is shown here and never again.
void PrintKey(const KeysOptions& options, const TenantSpec& tenant, const std::string& key) {
  if (options.json) {
    nlohmann::ordered_json json = Describe(tenant);
    json["key"] = key;
    fmt::print("{}\n", json.dump(2));
    return;
  }
  fmt::print("{}\n", key);
  fmt::print(stderr, "That is the key of {}; it is not kept and cannot be shown again.\n",
             tenant.name);
}

void PrintList(const KeysOptions& options, const std::vector<TenantSpec>& tenants) {
  if (options.json) {
    nlohmann::ordered_json list = nlohmann::ordered_json::array();
    for (const TenantSpec& tenant : tenants) list.push_back(Describe(tenant));
    fmt::print("{}\n", list.dump(2));
    return;
  }
  fmt::print("{:<20} {:>9} {:>11} {:>11} {:>6} {:<10} {}\n", "NAME", "REQ/MIN", "TOKENS/MIN",
             "TOKENS/DAY", "ATONCE", "CLASS", "EXPIRES");
  const auto limit = [](uint64_t value) {
    return value == 0 ? std::string("-") : fmt::format("{}", value);
  };
  for (const TenantSpec& tenant : tenants) {
    fmt::print("{:<20} {:>9} {:>11} {:>11} {:>6} {:<10} {}\n", tenant.name,
               limit(tenant.limits.requests_per_minute), limit(tenant.limits.tokens_per_minute),
               limit(tenant.limits.tokens_per_day), limit(tenant.limits.max_concurrent),
               tenant.limits.service_class, tenant.expires ? TimeText(*tenant.expires) : "never");
  }
}

Result<TenantSpec> NewTenant(const KeysOptions& options) {
  if (!IsTenantName(options.name)) {
    return InvalidArgument(fmt::format(
        "found the name \"{}\", expected 1 to 64 letters, digits and \"._-\"", options.name));
  }
  for (const int64_t value : {options.requests_per_minute, options.tokens_per_minute,
                              options.tokens_per_day, options.max_concurrent}) {
    if (value < 0) return InvalidArgument("a limit is below 0; 0 is none");
  }
  if (!(options.weight > 0 && options.weight <= 1000)) {
    return InvalidArgument(
        fmt::format("--weight: found {}, expected above 0, at most 1000", options.weight));
  }
  TenantSpec tenant{.name = options.name, .salt = RandomHex(16), .created = UnixSeconds()};
  if (!options.expires.empty()) {
    tenant.expires = ParseTime(options.expires);
    if (!tenant.expires) {
      return InvalidArgument(
          fmt::format("--expires: found \"{}\", expected a time such as 2027-01-31T00:00:00Z",
                      options.expires));
    }
  }
  tenant.limits = {.requests_per_minute = static_cast<uint64_t>(options.requests_per_minute),
                   .tokens_per_minute = static_cast<uint64_t>(options.tokens_per_minute),
                   .tokens_per_day = static_cast<uint64_t>(options.tokens_per_day),
                   .max_concurrent = static_cast<uint64_t>(options.max_concurrent),
                   .weight = options.weight,
                   .service_class = options.service_class,
                   .models = options.models,
                   .admin = options.admin};
  return tenant;
}

Status Change(const KeysOptions& options, std::vector<TenantSpec>& tenants) {
  const auto found = std::find_if(tenants.begin(), tenants.end(), [&](const TenantSpec& tenant) {
    return tenant.name == options.name;
  });
  if (options.action == "add") {
    if (found != tenants.end()) {
      return InvalidArgument(
          fmt::format("{}: {} has a key already; `pelton keys rotate` gives "
                      "another one",
                      options.file, options.name));
    }
    ASSIGN_OR_RETURN(TenantSpec tenant, NewTenant(options));
    const std::string key = NewApiKey();
    tenant.digests = {DigestOf(key)};
    tenants.push_back(tenant);
    RETURN_IF_ERROR(WriteTenantFile(options.file, tenants));
    PrintKey(options, tenant, key);
    return OkStatus();
  }
  if (found == tenants.end()) {
    return NotFound(fmt::format("{}: there is no \"{}\"", options.file, options.name));
  }
  if (options.action == "revoke") {
    tenants.erase(found);
    return WriteTenantFile(options.file, tenants);
  }
  if (options.grace_seconds < 0 || options.grace_seconds > 365 * 86'400) {
    return InvalidArgument(fmt::format("--grace-seconds: found {}, expected 0 to a year's {}",
                                       options.grace_seconds, 365 * 86'400));
  }
  const std::string key = NewApiKey();
  const KeyDigest previous = found->digests[0];
  found->digests = {DigestOf(key)};
  if (options.grace_seconds > 0) {
    found->digests.push_back(previous);
    found->previous_until = UnixSeconds() + options.grace_seconds;
  }
  RETURN_IF_ERROR(WriteTenantFile(options.file, tenants));
  PrintKey(options, *found, key);
  return OkStatus();
}

int Run(const KeysOptions& options) {
  if (options.file.empty()) {
    return Fail(InvalidArgument("expected --tenant-file or PELTON_TENANT_FILE"));
  }
  Result<std::vector<TenantSpec>> tenants = ReadTenantFile(options.file);
  if (tenants.status().code() == StatusCode::kNotFound && options.action == "add") {
    tenants = std::vector<TenantSpec>();
  }
  if (!tenants.ok()) return Fail(tenants.status());
  if (options.action == "list") {
    PrintList(options, *tenants);
    return kExitOk;
  }
  const Status status = Change(options, *tenants);
  return status.ok() ? kExitOk : Fail(status);
}

}  // namespace

Command KeysCommand() {
  auto options = std::make_shared<KeysOptions>();
  Command command{
      .name = "keys",
      .summary = "give, list, change and take away the keys of a server",
      .description =
          "Keeps the file that `pelton serve --tenant-file` follows: add NAME prints a new key, "
          "rotate NAME another one in its place, revoke NAME takes it away, list shows what each "
          "may do. The file holds digests only, and running servers take a change within a "
          "second."};
  command.options.push_back({.names = "action",
                             .value = "ACTION",
                             .help = "what to do",
                             .group = "arguments",
                             .target = &options->action,
                             .choices = {"add", "list", "revoke", "rotate"},
                             .required = true});
  const auto add = [&](const char* names, const char* value, const char* help, const char* group,
                       decltype(Option::target) target) {
    command.options.push_back(
        {.names = names, .value = value, .help = help, .group = group, .target = target});
  };
  add("name", "NAME", "whose key", "arguments", &options->name);
  add("--tenant-file", "FILE", "where tenants are kept", "file", &options->file);
  add("--requests-per-minute", "N", "requests; 0 for any number [0]", "limits of add",
      &options->requests_per_minute);
  add("--tokens-per-minute", "N", "tokens of prompts and answers; 0 for any number [0]",
      "limits of add", &options->tokens_per_minute);
  add("--tokens-per-day", "N", "tokens in a day of UTC; 0 for any number [0]", "limits of add",
      &options->tokens_per_day);
  add("--max-concurrent", "N", "requests at once; 0 for any number [0]", "limits of add",
      &options->max_concurrent);
  add("--weight", "X", "share of the engine beside other tenants [1]", "limits of add",
      &options->weight);
  add("--service-class", "CLASS", "most urgent class of its requests [standard]", "limits of add",
      &options->service_class);
  command.options.back().choices = {"realtime", "standard", "batch", "background"};
  add("--allow-model", "NAME", "a model that it may ask; may be given again; without it all",
      "limits of add", &options->models);
  add("--admin", "", "may change what is served, and see all of it", "limits of add",
      &options->admin);
  add("--expires", "TIME", "when the key stops, such as 2027-01-31T00:00:00Z [never]",
      "limits of add", &options->expires);
  add("--grace-seconds", "N", "how long rotate lets the old key work [0]", "rotate",
      &options->grace_seconds);
  add("--json", "", "print JSON", "output", &options->json);
  command.run = [options] { return Run(*options); };
  command.storage = options;
  return command;
}

}  // namespace pelton
