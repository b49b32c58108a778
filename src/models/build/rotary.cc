#include "models/build/rotary.h"

#include <cmath>

namespace pelton {

ValueId AddFrequencies(const RopeConfig& rope, Graph* graph) {
  if (!rope.frequency_divisors.empty()) {
    std::vector<float> frequencies;
    for (size_t pair = 0; pair < rope.frequency_divisors.size(); ++pair) {
      const double frequency =
          std::pow(rope.theta, -2 * static_cast<double>(pair) / rope.dims) / rope.factor;
      frequencies.push_back(static_cast<float>(frequency / rope.frequency_divisors[pair]));
    }
    return graph->AddNumbers("rope_frequencies", std::move(frequencies));
  }
  const bool yarn = rope.scaling == RopeScaling::kYarn;
  const char* scaling = rope.scaling == RopeScaling::kLinear   ? "linear"
                        : rope.scaling == RopeScaling::kLlama3 ? "llama3"
                        : yarn                                 ? "yarn"
                                                               : "none";
  return graph->Add(OpKind::kRopeFrequencies, {},
                    {{"dims", int64_t{rope.dims}},
                     {"base", rope.theta},
                     {"scaling", std::string(scaling)},
                     {"factor", rope.factor},
                     {"low", yarn ? rope.beta_slow : rope.low_freq_factor},
                     {"high", yarn ? rope.beta_fast : rope.high_freq_factor},
                     {"original", static_cast<int64_t>(rope.original_context_tokens)},
                     {"truncate", int64_t{rope.truncate ? 1 : 0}}});
}

}  // namespace pelton
