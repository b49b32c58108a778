#include "serving/http/cache_routes.h"

#include <algorithm>
#include <string_view>
#include <utility>
#include <vector>

#include "serving/request/field_reader.h"

namespace pelton {
namespace {

// Null where nothing was asked yet.
Json Rate(uint64_t hits, uint64_t all) {
  return all == 0 ? Json() : Json(static_cast<double>(hits) / static_cast<double>(all));
}

// A model's metric, or 0.
uint64_t ValueOf(const std::vector<const MetricRegistry::Entry*>& entries, std::string_view name) {
  for (const MetricRegistry::Entry* entry : entries) {
    if (entry->name != name) continue;
    if (entry->counter != nullptr) return entry->counter->value();
    return static_cast<uint64_t>(std::max<int64_t>(entry->gauge->value(), 0));
  }
  return 0;
}

Json ModelCacheJson(const ListedModel& listed) {
  std::vector<const MetricRegistry::Entry*> entries;
  if (listed.metrics != nullptr) entries = listed.metrics->Entries();
  const auto value = [&](const char* name) { return ValueOf(entries, name); };
  const uint64_t block_bytes = value("pelton_kv_block_bytes");
  const uint64_t blocks = value("pelton_kv_blocks");
  const uint64_t used = value("pelton_kv_blocks_held");
  const uint64_t kept = value("pelton_kv_blocks_idle");
  const uint64_t hits = value("pelton_prefix_cache_hit_blocks_total");
  const uint64_t misses = value("pelton_prefix_cache_missed_blocks_total");
  return {{"model", listed.called.name},
          {"loaded", !listed.opened.empty()},
          {"enabled", listed.prefix_cache},
          {"block_tokens", value("pelton_kv_block_tokens")},
          {"block_bytes", block_bytes},
          {"blocks", blocks},
          {"blocks_in_use", used},
          {"blocks_kept", kept},
          {"bytes", blocks * block_bytes},
          {"bytes_in_use", used * block_bytes},
          {"bytes_kept", kept * block_bytes},
          {"hits", hits},
          {"misses", misses},
          {"hit_rate", Rate(hits, hits + misses)},
          {"evictions", value("pelton_prefix_cache_evicted_blocks_total")},
          {"prompt_tokens", value("pelton_prompt_tokens_total")},
          {"cached_tokens", value("pelton_prompt_cached_tokens_total")}};
}

Json TenantCacheJson(const Tenant& tenant) {
  Json models = Json::array();
  for (const auto& [model, use] : tenant.CacheUses()) {
    models.push_back({{"model", model},
                      {"prompt_tokens", use.prompt_tokens},
                      {"cached_tokens", use.cached_tokens},
                      {"hit_rate", Rate(use.cached_tokens, use.prompt_tokens)}});
  }
  return {{"tenant", tenant.name()}, {"models", std::move(models)}};
}

void AnswerCache(const ModelDirectory& models, const TenantDirectory& tenants,
                 const ApiCall& call) {
  Json answer = {{"object", "cache"}};
  if (!call.tenant->limits().admin) {
    answer["tenants"] = Json::array({TenantCacheJson(*call.tenant)});
    return SendJson(*call.response, ToText(answer));
  }
  Json held = Json::array();
  for (const ListedModel& listed : models.List()) {
    if (listed.kind == ModelKind::kLanguage) held.push_back(ModelCacheJson(listed));
  }
  Json used = Json::array();
  for (const auto& tenant : tenants.List()) used.push_back(TenantCacheJson(*tenant));
  answer["models"] = std::move(held);
  answer["tenants"] = std::move(used);
  SendJson(*call.response, ToText(answer));
}

}  // namespace

RouteSet CacheRoutes(const ModelDirectory& models, const TenantDirectory& tenants) {
  return {.routes = {{.method = "GET",
                      .path = "/cache",
                      .versioned = true,
                      .answer = [&](const ApiCall& call) { AnswerCache(models, tenants, call); }}},
          .docs = {{.method = "GET",
                    .path = "/cache",
                    .summary = "What the prefix caches hold and how well they do",
                    .answer = R"({"type":"object","required":["tenants"]})"}}};
}

}  // namespace pelton
