#include "runtime/schedule/service_class.h"

namespace pelton {
namespace {

constexpr std::array<std::string_view, kNumServiceClasses> kNames = {"realtime", "standard",
                                                                     "batch", "background"};

}  // namespace

std::string_view ServiceClassName(ServiceClass service_class) {
  return kNames[static_cast<size_t>(service_class)];
}

std::optional<ServiceClass> ParseServiceClass(std::string_view name) {
  for (size_t i = 0; i < kNames.size(); ++i) {
    if (kNames[i] == name) return static_cast<ServiceClass>(i);
  }
  return std::nullopt;
}

ServiceClass AgedClass(ServiceClass service_class, int64_t waited_ns,
                       const ClassPolicies& policies) {
  const auto level = static_cast<int64_t>(service_class);
  const int64_t ageing_ns = policies[static_cast<size_t>(service_class)].ageing_ns;
  const int64_t steps = ageing_ns > 0 && waited_ns > 0 ? waited_ns / ageing_ns : 0;
  return static_cast<ServiceClass>(steps < level ? level - steps : 0);
}

}  // namespace pelton
