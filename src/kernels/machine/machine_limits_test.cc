#include "kernels/machine/machine_limits.h"

#include <gtest/gtest.h>

#include "base/cpu_features.h"
#include "kernels/machine/peak_loops.h"

namespace pelton {
namespace {

TEST(MachineLimits, AreOfWhatTheProcessorHas) {
  ThreadPool pool(2);
  const Result<MachineLimits> limits = MeasureMachineLimits(pool, size_t{1} << 20);
  ASSERT_TRUE(limits.ok()) << limits.status().message();
  EXPECT_GT(limits->read_bytes, 0);
  EXPECT_GT(limits->f32_operations, 0);
  EXPECT_GT(limits->int8_operations, 0);
  const bool tiles = (CpuFeatures() & kCpuAmx) != 0;
  EXPECT_EQ(limits->tile_bf16_operations > 0, tiles);
  EXPECT_EQ(limits->tile_int8_operations > 0, tiles);
}

TEST(MachineLimits, LoopsCountTheirOperations) {
  const PeakLoops& vectors = VectorPeakLoops();
  EXPECT_EQ(vectors.float_operations(20), 2 * vectors.float_operations(10));
  EXPECT_EQ(vectors.integer_operations(20), 2 * vectors.integer_operations(10));
  if (const PeakLoops* tiles = TilePeakLoops()) {
    // 4 products of 16 x 16 x 32 pairs, and of twice as many bytes.
    EXPECT_EQ(tiles->float_operations(1), 4 * 2 * 16 * 16 * 32);
    EXPECT_EQ(tiles->integer_operations(1), 4 * 2 * 16 * 16 * 64);
  }
}

}  // namespace
}  // namespace pelton
