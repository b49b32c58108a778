#include "runtime/schedule/first_token_forecast.h"

#include <algorithm>

#include "base/checked_math.h"

namespace pelton {

std::optional<double> ForecastFirstToken(const EngineLoad& load, ServiceClass service_class,
                                         size_t prompt_tokens) {
  if (!load.cost.known()) return std::nullopt;
  size_t waiting = 0, running = 0, tokens = prompt_tokens;
  double attended = 0;
  for (size_t i = 0; i <= static_cast<size_t>(service_class); ++i) {
    const EngineLoad::OfClass& one = load.classes[i];
    waiting += one.waiting;
    running += one.running;
    tokens += one.prompt_tokens;
    attended += one.attended_tokens;
  }
  const double decode_ns = load.cost.Of({.decode_rows = running, .attended = attended});
  const size_t chunk = load.max_step_tokens > running ? load.max_step_tokens - running : 1;
  const double prompts_ns = static_cast<double>(DivUp(tokens, chunk)) * decode_ns +
                            load.cost.prefill_token_ns * static_cast<double>(tokens);
  // Less urgent sequences give their places up.
  const size_t places = load.max_sequences - std::min(load.max_sequences, running);
  const size_t endings = waiting + 1 - std::min(waiting + 1, places);
  if (endings == 0) return prompts_ns;
  const double ending_ns =
      load.mean_output_tokens * decode_ns / static_cast<double>(std::max<size_t>(running, 1));
  return prompts_ns + static_cast<double>(endings) * ending_ns;
}

}  // namespace pelton
