#include "serving/request/service_terms.h"

#include <fmt/format.h>

#include <charconv>
#include <string>

namespace pelton {
namespace {

constexpr int64_t kMaxTimeoutMs = 86'400'000;
constexpr const char* kClassNames = "realtime, standard, batch or background";

}  // namespace

Result<ServiceTerms> TermsOfHeaders(const HttpRequest& request) {
  ServiceTerms terms;
  if (const std::string_view name = request.Header("x-pelton-class"); !name.empty()) {
    const std::optional<ServiceClass> parsed = ParseServiceClass(name);
    if (!parsed) {
      return InvalidArgument(fmt::format("X-Pelton-Class: found \"{}\", expected {}",
                                         name.substr(0, 100), kClassNames));
    }
    terms.service_class = *parsed;
  }
  if (const std::string_view text = request.Header("x-request-timeout-ms"); !text.empty()) {
    int64_t ms = 0;
    const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), ms);
    if (error != std::errc() || end != text.data() + text.size() || ms < 1 || ms > kMaxTimeoutMs) {
      return InvalidArgument(fmt::format("X-Request-Timeout-Ms: found \"{}\", expected 1 to {}",
                                         text.substr(0, 100), kMaxTimeoutMs));
    }
    terms.first_token_within_ns = ms * 1'000'000;
  }
  return terms;
}

void ReadTermsFields(FieldReader& reader, ServiceTerms* terms) {
  std::string tier = "auto";
  reader.String("service_tier", &tier);
  if (tier == "priority") {
    terms->service_class = ServiceClass::kRealtime;
  } else if (tier == "flex") {
    terms->service_class = ServiceClass::kBatch;
  } else if (tier != "auto" && tier != "default") {
    reader.Fail("service_tier", "\"auto\", \"default\", \"priority\" or \"flex\"");
  }
  if (const Json* priority = reader.Find("priority")) {
    if (priority->is_string()) {
      const auto parsed = ParseServiceClass(priority->get_ref<const std::string&>());
      if (!parsed) return reader.Fail("priority", kClassNames);
      terms->service_class = *parsed;
    } else {
      int64_t level = 0;
      reader.Whole("priority", &level);
      terms->service_class = level < 0    ? ServiceClass::kRealtime
                             : level == 0 ? ServiceClass::kStandard
                             : level < 10 ? ServiceClass::kBatch
                                          : ServiceClass::kBackground;
    }
  }
  if (const Json* timeout = reader.Find("timeout")) {
    const double seconds = timeout->is_number() ? timeout->get<double>() : 0;
    const double most = static_cast<double>(kMaxTimeoutMs) / 1000;
    if (!(seconds >= 0.001 && seconds <= most)) {
      return reader.Fail("timeout", fmt::format("seconds from 0.001 to {}", most));
    }
    terms->first_token_within_ns = static_cast<int64_t>(seconds * 1e9);
  }
}

}  // namespace pelton
