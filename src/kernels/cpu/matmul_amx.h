#pragma once

#include <cstddef>

#include "kernels/ops/matmul.h"

// Matmul with AMX: weights and activations are rounded to bf16 (8 significant bits), products are
// summed in f32, so |out - exact| <= 2^-8 sum_k |x w| besides the rounding of the sums. A row's
// bits still depend on neither the other rows nor the unit split, but they are not those of the
// vector implementations. F32 weights are not taken: nobody stores them who can do without their
// digits.
namespace pelton {

bool AmxMatmulSupports(bool quantized_x, DType weights);
size_t AmxMatmulScratchBytes(const MatmulArgs& args);

// Rows whose sums are in tile registers at a time.
inline constexpr size_t kAmxRowStep = 48;

// How a matmul is cut to fit the caches, and what of it lies where in the scratch memory.
struct AmxBlocking {
  bool gated;
  size_t panel_bytes;  // of the packed weights
  size_t steps;        // K in tiles of 32 columns
  size_t row_block;    // rows whose activations are converted together; a multiple of kAmxRowStep
  size_t step_block;   // tiles of K for which a group's weights are dequantised together
  size_t group_units;  // units that share one pass over the activations
  size_t group_pairs;  // pairs of panels in a group: a unit has one, or two when gated

  // Offsets in the scratch memory, and its size.
  size_t weights;  // tiles [group_pairs][step_block][2 panels]; at 0 are the activations,
                   // tiles [row_block / 16][steps]
  size_t sums;     // f32 [group_units][sum_row_blocks][48 rows][32 columns, or 64 when gated]
  size_t sum_row_blocks;  // of 48 rows; 1 where K needs one pass only
  size_t bytes;
};
AmxBlocking PlanAmxBlocking(const MatmulArgs& args);

namespace cpu::amx {
void MatmulAmx(const MatmulArgs& args, size_t begin, size_t end, std::byte* scratch) noexcept;
}
// The same source on tiles emulated in plain C++ and with AVX-512; only tests link them.
namespace cpu::amx_emulated {
void MatmulAmx(const MatmulArgs& args, size_t begin, size_t end, std::byte* scratch) noexcept;
}
namespace cpu::amx_emulated_avx512 {
void MatmulAmx(const MatmulArgs& args, size_t begin, size_t end, std::byte* scratch) noexcept;
}

// The row for MatmulImpls, before the vector implementations. Measured for a prototype: below 12
// rows their integer dot products are faster.
inline constexpr MatmulImpl kAmxMatmulImpl = {"amx_bf16",
                                              kCpuAmx | kCpuAvx512Bf16,
                                              false,
                                              12,
                                              AmxMatmulSupports,
                                              AmxMatmulScratchBytes,
                                              cpu::amx::MatmulAmx};

}  // namespace pelton
