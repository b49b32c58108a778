#pragma once

#include "base/status.h"
#include "base/thread_pool.h"

namespace pelton {

// The limits of this machine that kernels are measured against, with all threads of a pool; an
// operation is a multiplication or an addition.
struct MachineLimits {
  double read_bytes = 0;  // from memory, each a second
  double f32_operations = 0;
  double int8_operations = 0;
  double tile_bf16_operations = 0;  // 0 where there is no AMX
  double tile_int8_operations = 0;
};

// Medians of several measurements, about a second in all. ResourceExhausted if there is no memory
// to read: `read_buffer_bytes`, which should be more than the caches hold.
Result<MachineLimits> MeasureMachineLimits(ThreadPool& pool, size_t read_buffer_bytes);
// Enough for a machine whose last cache is shared by many others.
inline constexpr size_t kReadBufferBytes = size_t{768} << 20;

}  // namespace pelton
