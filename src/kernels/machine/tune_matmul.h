#pragma once

#include <string>
#include <vector>

#include "base/status.h"
#include "base/thread_pool.h"
#include "kernels/ops/matmul_choices.h"

namespace pelton {

// How long matmuls of 8-bit activations take with each implementation that could be the fastest of
// this machine.
struct MatmulTimings {
  struct OfRows {
    size_t rows;
    double operations;            // of one matmul
    std::vector<double> seconds;  // one for each implementation
  };

  DType weights = DType::kQ8_0;
  std::vector<const MatmulImpl*> impls;
  std::vector<OfRows> rows;  // ascending, from 1 on
};

// The weights that have implementations to choose from on this machine.
std::vector<DType> TunableWeights();

// Times 1 to 512 rows of 2048 columns, each the median of `rounds` rounds in which implementations
// take turns, with all threads of the pool, over up to 96 MiB of weights: a few seconds.
// ResourceExhausted if there is no memory for them. Requires: weights is one of TunableWeights(),
// rounds > 0.
Result<MatmulTimings> TimeMatmuls(ThreadPool& pool, DType weights, size_t rounds);

// The fastest for generated rows, and for plans that are not invariant, from each number of rows
// on where it changes. What is chosen without choices stays where nothing is 5 % faster, which is
// less than two runs differ by. Requires: SetMatmulChoices was not called.
std::vector<MatmulChoice> FastestMatmuls(const MatmulTimings& timings);

}  // namespace pelton
