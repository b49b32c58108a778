#pragma once

#include <vector>

#include "kernels/ops/attention.h"

namespace pelton::reference {

// The meaning of attention in plain C++ and f64, dense [T, H * D]; no partitions, no online
// maximum.
std::vector<double> Attention(const AttentionArgs& args);

// Element d of the key (or value) at `position` of a sequence, exactly.
double CacheElement(const KvCacheView& cache, const SequenceSpan& sequence, size_t layer,
                    size_t kv_head, bool value, size_t position, size_t d);

}  // namespace pelton::reference
