#pragma once

#include <vector>

#include "kernels/ops/compressed.h"

namespace pelton::reference {

// The entry of window `window` in f64, from the values and gates of a whole sequence, [positions,
// args.cols] each, and its row of args.table. Reads no cache.
std::vector<double> Entry(const CompressArgs& args, const std::vector<float>& values,
                          const std::vector<float>& gates, size_t window, const float* table);

// One head in f64 over keys that are values too, and a sink.
std::vector<double> AttentionOver(const std::vector<std::vector<double>>& keys, const float* q,
                                  double scale, double sink);

}  // namespace pelton::reference
