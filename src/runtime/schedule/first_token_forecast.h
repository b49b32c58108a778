#pragma once

#include <array>
#include <cstddef>
#include <optional>

#include "runtime/schedule/service_class.h"
#include "runtime/schedule/step_cost.h"

namespace pelton {

// What an engine has before it, by class.
struct EngineLoad {
  struct OfClass {
    size_t waiting = 0;          // sequences
    size_t running = 0;          // sequences
    size_t prompt_tokens = 0;    // of both, that are not computed
    double attended_tokens = 0;  // positions that the running ones hold
  };
  std::array<OfClass, kNumServiceClasses> classes;
  size_t max_sequences = 1;
  size_t max_step_tokens = 1;
  double mean_output_tokens = 0;  // of answers that ended lately
  StepCost cost;
};

// When the first token of a request would come that arrived now, in ns from now: after the prompts
// of its class and more urgent ones, each step of which also decodes what runs; and, where all
// places are taken by these classes, after as many answers have ended as wait before it. Empty
// while costs are unknown.
std::optional<double> ForecastFirstToken(const EngineLoad& load, ServiceClass service_class,
                                         size_t prompt_tokens);

}  // namespace pelton
