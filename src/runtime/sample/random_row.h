#pragma once

#include <cstddef>
#include <cstdint>
#include <random>
#include <vector>

namespace pelton {

// For tests: a row of logits, the same for the same seed.
inline std::vector<float> RandomRow(size_t size, uint32_t seed, float spread) {
  std::mt19937 random(seed);
  std::normal_distribution<float> normal(0, spread);
  std::vector<float> row(size);
  for (float& x : row) x = normal(random);
  return row;
}

}  // namespace pelton
