#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <limits>
#include <optional>
#include <string_view>

namespace pelton {

// How urgent a request is, the most urgent first.
enum class ServiceClass : uint8_t { kRealtime, kStandard, kBatch, kBackground };
constexpr size_t kNumServiceClasses = 4;

// "realtime", "standard", "batch", "background".
std::string_view ServiceClassName(ServiceClass service_class);
std::optional<ServiceClass> ParseServiceClass(std::string_view name);

constexpr int64_t kNoPromise = std::numeric_limits<int64_t>::max();

// What a class is promised.
struct ClassPolicy {
  // How long one of it may be held back so that more requests gather for a first step.
  int64_t max_gather_ns;
  // A step with a decoding sequence of this class shall not take longer, so that its tokens keep
  // coming; kNoPromise: as long as a full step takes.
  int64_t step_ns = kNoPromise;
  // One that got nothing for so long counts as one class more urgent, and so on for each such time.
  int64_t ageing_ns;
};
using ClassPolicies = std::array<ClassPolicy, kNumServiceClasses>;

constexpr ClassPolicies kDefaultPolicies = {{
    {.max_gather_ns = 5'000'000, .step_ns = 25'000'000, .ageing_ns = kNoPromise},
    {.max_gather_ns = 50'000'000, .ageing_ns = 30'000'000'000},
    {.max_gather_ns = 1'000'000'000, .ageing_ns = 60'000'000'000},
    {.max_gather_ns = 1'000'000'000, .ageing_ns = 120'000'000'000},
}};

// The class as which a sequence counts that got nothing for `waited_ns`.
ServiceClass AgedClass(ServiceClass service_class, int64_t waited_ns,
                       const ClassPolicies& policies);

}  // namespace pelton
