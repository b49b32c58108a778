#include "kernels/cpu/matmul_amx.h"

#include "kernels/cpu/bf16_rounding.h"
#include "kernels/cpu/matmul_amx_weights.h"
#include "kernels/cpu/matmul_epilogue.h"
#if defined(__AMX_TILE__)
#include "kernels/cpu/amx/tile.h"
#else
#include "kernels/cpu/amx/tile_emulated.h"
#endif

// Weights are taken in groups of panels and, inside, in pieces of K: a piece is dequantised to
// tiles of bf16, then meets every row of activations, whose tiles were made once for the call. Sums
// stay in tile registers for a whole piece.
namespace pelton::cpu::KERNEL_ISA {
namespace {

constexpr size_t kRowStep = 32;  // rows of a 2 x 2 block of tiles
// Rows [first, first + count) of the activations as tiles [rows / 16][steps], [16 rows][32 k] bf16;
// rows beyond `count` are zero up to a whole tile.
void ConvertActivations(const MatmulArgs& args, size_t first, size_t count, size_t steps,
                        std::byte* tiles) {
  const size_t cols = args.weights.cols;
  const QuantizedRows quantized{const_cast<std::byte*>(args.x_quantized), cols, args.x_terms};
  for (size_t row = 0; row < (count + 15) / 16 * 16; ++row) {
    std::byte* out = tiles + row / 16 * steps * kTileBytes + row % 16 * 64;
    if (row >= count) {
      for (size_t s = 0; s < steps; ++s) __builtin_memset(out + s * kTileBytes, 0, 64);
    } else if (args.x_quantized != nullptr) {
      for (size_t k = 0; k < steps * 32; k += 16) {
        const auto term = [&](size_t t) {
          const auto* values = reinterpret_cast<const std::byte*>(quantized.Values(first + row, t));
          return Mul(LoadI8(values + k), SetF32(quantized.Scales(first + row, t)[k / 32]));
        };
        F32x16 x = term(0);
        if (args.x_terms == 2) x = Add(x, term(1));
        StoreBf16(out + k / 32 * kTileBytes + k % 32 * 2, QuietNans(x));
      }
    } else {
      const float* x = args.x_f32 + (first + row) * args.x_stride;
      for (size_t k = 0; k < steps * 32; k += 16) {
        std::byte* to = out + k / 32 * kTileBytes + k % 32 * 2;
        if (k + 16 <= cols) {
          StoreBf16(to, QuietNans(LoadF32(x + k)));
        } else {
          alignas(64) float tail[16] = {};
          if (k < cols) __builtin_memcpy(tail, x + k, (cols - k) * sizeof(float));
          StoreBf16(to, QuietNans(LoadF32(tail)));
        }
      }
    }
  }
}

// Where the tiles of a piece of weights are: panel p, step s at panel[p] + s * stride.
struct WeightTiles {
  const std::byte* panel[2];
  size_t stride;
};

// sums [16 or 32 rows][32 columns], row stride `sum_stride`, (+)= activations . weights over
// `steps` steps. `rows1` is the second tile row of the activations, or null.
template <bool kTwoRows>
void MultiplyTiles(const std::byte* rows0, const std::byte* rows1, const WeightTiles& weights,
                   size_t steps, bool first, float* sums, size_t sum_stride) {
  float* lower = sums + 16 * sum_stride;
  const size_t stride = sum_stride * sizeof(float);
  if (first) {
    TileZero<0>();
    TileZero<1>();
    if constexpr (kTwoRows) {
      TileZero<2>();
      TileZero<3>();
    }
  } else {
    TileLoad<0>(sums, stride);
    TileLoad<1>(sums + 16, stride);
    if constexpr (kTwoRows) {
      TileLoad<2>(lower, stride);
      TileLoad<3>(lower + 16, stride);
    }
  }
  const std::byte* w0 = weights.panel[0];
  const std::byte* w1 = weights.panel[1];
  for (size_t s = 0; s < steps; ++s, w0 += weights.stride, w1 += weights.stride) {
    TileLoad<4>(rows0 + s * kTileBytes, 64);
    TileLoad<6>(w0, 64);
    TileLoad<7>(w1, 64);
    TileDotBf16<0, 4, 6>();
    TileDotBf16<1, 4, 7>();
    if constexpr (kTwoRows) {
      TileLoad<5>(rows1 + s * kTileBytes, 64);
      TileDotBf16<2, 5, 6>();
      TileDotBf16<3, 5, 7>();
    }
  }
  TileStore<0>(sums, stride);
  TileStore<1>(sums + 16, stride);
  if constexpr (kTwoRows) {
    TileStore<2>(lower, stride);
    TileStore<3>(lower + 16, stride);
  }
}

// Everything that a group of units needs to meet a block of rows.
struct GroupRun {
  const MatmulArgs& args;
  const AmxBlocking& plan;
  DequantizePanelFn dequantize;  // null: panels are tiles already
  std::byte* scratch;
  size_t first_row;  // of the block of rows
  size_t rows;
  size_t first_unit;
  size_t units;

  size_t UnitPairs() const { return plan.gated ? 2 : 1; }
  // Of a unit of the group, for the 32 rows from `row`; 32 columns for each of its pairs.
  float* Sums(size_t unit, size_t row) const {
    const size_t block = plan.sum_row_blocks > 1 ? row / kRowStep : 0;
    return reinterpret_cast<float*>(scratch + plan.sums) +
           (unit * plan.sum_row_blocks + block) * kRowStep * SumStride();
  }
  size_t SumStride() const { return 32 * UnitPairs(); }
};

// Steps [first, first + count) of the weights of pair `pair` of the group.
WeightTiles PrepareWeights(const GroupRun& run, size_t pair, size_t first, size_t count) {
  const size_t panel = 2 * (run.first_unit * run.UnitPairs() + pair);
  const std::byte* first_panel = run.args.weights.data + panel * run.plan.panel_bytes;
  const std::byte* stored[2] = {first_panel, first_panel + run.plan.panel_bytes};
  if (run.dequantize == nullptr) {
    const size_t offset = first * kTileBytes;
    return {{stored[0] + offset, stored[1] + offset}, kTileBytes};
  }
  std::byte* tiles = run.scratch + run.plan.weights + pair * run.plan.step_block * kTilePairBytes;
  run.dequantize(stored[0], first, count, run.plan.steps, tiles);
  run.dequantize(stored[1], first, count, run.plan.steps, tiles + kTileBytes);
  return {{tiles, tiles + kTileBytes}, kTilePairBytes};
}

void RunGroup(const GroupRun& run) {
  const AmxBlocking& plan = run.plan;
  const size_t unit_pairs = run.UnitPairs();
  const size_t columns = plan.gated ? run.args.weights.rows / 2 : run.args.weights.rows;
  constexpr size_t kMostPairs = 4;
  WeightTiles weights[kMostPairs];
  for (size_t step = 0; step < plan.steps; step += plan.step_block) {
    const size_t left = plan.steps - step;
    const size_t steps = left < plan.step_block ? left : plan.step_block;
    for (size_t pair = 0; pair < run.units * unit_pairs; ++pair) {
      weights[pair] = PrepareWeights(run, pair, step, steps);
    }
    for (size_t row = 0; row < run.rows; row += kRowStep) {
      const size_t count = run.rows - row < kRowStep ? run.rows - row : kRowStep;
      const std::byte* rows0 = run.scratch + (row / 16 * plan.steps + step) * kTileBytes;
      const std::byte* rows1 = rows0 + plan.steps * kTileBytes;
      for (size_t unit = 0; unit < run.units; ++unit) {
        float* sums = run.Sums(unit, row);
        for (size_t p = 0; p < unit_pairs; ++p) {
          const WeightTiles& tiles = weights[unit * unit_pairs + p];
          if (count > 16) {
            MultiplyTiles<true>(rows0, rows1, tiles, steps, step == 0, sums + 32 * p,
                                run.SumStride());
          } else {
            MultiplyTiles<false>(rows0, nullptr, tiles, steps, step == 0, sums + 32 * p,
                                 run.SumStride());
          }
        }
        if (steps == left) {
          FinishUnit(run.args, run.first_unit + unit, columns, run.first_row + row, count, sums,
                     run.SumStride());
        }
      }
    }
  }
}

}  // namespace

void MatmulAmx(const MatmulArgs& args, size_t begin, size_t end, std::byte* scratch) noexcept {
  const AmxBlocking plan = PlanAmxBlocking(args);
  const TileSession session;
  const DequantizePanelFn dequantize = DequantizerOf(args.weights.dtype);
  for (size_t row = 0; row < args.rows; row += plan.row_block) {
    const size_t rows = args.rows - row < plan.row_block ? args.rows - row : plan.row_block;
    ConvertActivations(args, row, rows, plan.steps, scratch);
    for (size_t unit = begin; unit < end; unit += plan.group_units) {
      const size_t units = end - unit < plan.group_units ? end - unit : plan.group_units;
      RunGroup({args, plan, dequantize, scratch, row, rows, unit, units});
    }
  }
}

}  // namespace pelton::cpu::KERNEL_ISA
