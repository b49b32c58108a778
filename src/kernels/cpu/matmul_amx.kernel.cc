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

static_assert(kAmxRowStep == 48);
// Rows [first, first + count) of the activations as tiles [rows / 16][steps], [16 rows][32 k] bf16;
// rows beyond `count` are zero up to a whole tile.
void ConvertActivations(const MatmulArgs& args, size_t first, size_t count, size_t steps,
                        std::byte* tiles) {
  const size_t cols = args.weights.cols;
  const QuantizedRows quantized{const_cast<std::byte*>(args.x_quantized), cols};
  for (size_t row = 0; row < (count + 15) / 16 * 16; ++row) {
    std::byte* out = tiles + row / 16 * steps * kTileBytes + row % 16 * 64;
    if (row >= count) {
      for (size_t s = 0; s < steps; ++s) __builtin_memset(out + s * kTileBytes, 0, 64);
    } else if (args.x_bf16) {
      const std::byte* x = args.x_quantized + (first + row) * QuantizedRows::Bf16RowBytes(cols);
      for (size_t s = 0; s < steps; ++s) __builtin_memcpy(out + s * kTileBytes, x + s * 64, 64);
    } else if (args.x_quantized != nullptr) {
      for (size_t k = 0; k < steps * 32; k += 16) {
        const auto* values = reinterpret_cast<const std::byte*>(quantized.Values(first + row));
        const F32x16 x = Mul(LoadI8(values + k), SetF32(quantized.Scales(first + row)[k / 32]));
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

// Fetches the stored weights that come next into the L2 cache while tiles are multiplied: else the
// memory would rest then, and decoding wait for it. They lie in several panels.
class NextWeights {
 public:
  // `bytes` of each of `panels` panels, `stride` apart, during `steps` steps of tiles.
  NextWeights(const std::byte* first, size_t bytes, size_t panels, size_t stride, size_t steps)
      : panel_(first),
        lines_((bytes + 63) / 64),
        panels_(panels),
        stride_(stride),
        per_step_((lines_ * panels + steps - 1) / steps) {}

  // The lines to fetch during the next `steps` steps, `per_step` in each.
  const std::byte* Take(size_t steps, size_t* per_step) {
    if (line_ >= lines_ && panels_ > 0) {
      panel_ += stride_;
      --panels_;
      line_ = 0;
    }
    *per_step = panels_ > 0 ? per_step_ : 0;
    const std::byte* at = panel_ + line_ * 64;
    line_ += steps * per_step_;
    return at;
  }

 private:
  const std::byte* panel_;
  size_t lines_;  // of each panel
  size_t panels_;
  size_t stride_;
  size_t per_step_;
  size_t line_ = 0;
};

template <int kTile>
struct TileNumber {
  static constexpr int kValue = kTile;
};

// Calls use(tile, where its sums are) for each of kRowTiles x 2 tiles of sums.
template <int kRowTiles, typename Use>
inline void ForEachSum(float* sums, size_t sum_stride, Use use) {
  use(TileNumber<0>(), sums);
  use(TileNumber<1>(), sums + 16);
  if constexpr (kRowTiles > 1) {
    use(TileNumber<2>(), sums + 16 * sum_stride);
    use(TileNumber<3>(), sums + 16 * sum_stride + 16);
  }
  if constexpr (kRowTiles > 2) {
    use(TileNumber<4>(), sums + 32 * sum_stride);
    use(TileNumber<5>(), sums + 32 * sum_stride + 16);
  }
}

// sums [kRowTiles * 16 rows][32 columns], row stride `sum_stride`, (+)= activations . weights over
// `steps` steps. Row tiles of the activations are `row_stride` apart.
template <int kRowTiles>
void MultiplyTiles(const std::byte* rows, size_t row_stride, const WeightTiles& weights,
                   size_t steps, bool first, float* sums, size_t sum_stride, NextWeights& next) {
  size_t per_step;
  const std::byte* fetch = next.Take(steps, &per_step);
  const size_t stride = sum_stride * sizeof(float);
  ForEachSum<kRowTiles>(sums, sum_stride, [&](auto tile, float* at) {
    if (first) {
      TileZero<decltype(tile)::kValue>();
    } else {
      TileLoad<decltype(tile)::kValue>(at, stride);
    }
  });
  const std::byte* w0 = weights.panel[0];
  const std::byte* w1 = weights.panel[1];
  for (size_t s = 0; s < steps; ++s, w0 += weights.stride, w1 += weights.stride) {
    for (size_t i = 0; i < per_step; ++i, fetch += 64) PrefetchLineToL2(fetch);
    const std::byte* at = rows + s * kTileBytes;
    if constexpr (kRowTiles == 3) {
      // All 8 tiles: the second pass over the rows finds them in the L1 cache. Of what comes from
      // the L2 cache, 5 tiles serve 6 products, where 2 x 2 sums need 4 for 4.
      TileLoad<6>(w0, 64);
      TileLoad<7>(at, 64);
      TileDotBf16<0, 7, 6>();
      TileLoad<7>(at + row_stride, 64);
      TileDotBf16<2, 7, 6>();
      TileLoad<7>(at + 2 * row_stride, 64);
      TileDotBf16<4, 7, 6>();
      TileLoad<6>(w1, 64);
      TileDotBf16<5, 7, 6>();
      TileLoad<7>(at + row_stride, 64);
      TileDotBf16<3, 7, 6>();
      TileLoad<7>(at, 64);
      TileDotBf16<1, 7, 6>();
    } else {
      TileLoad<4>(at, 64);
      TileLoad<6>(w0, 64);
      TileLoad<7>(w1, 64);
      TileDotBf16<0, 4, 6>();
      TileDotBf16<1, 4, 7>();
      if constexpr (kRowTiles == 2) {
        TileLoad<5>(at + row_stride, 64);
        TileDotBf16<2, 5, 6>();
        TileDotBf16<3, 5, 7>();
      }
    }
  }
  ForEachSum<kRowTiles>(sums, sum_stride, [&](auto tile, float* at) {
    TileStore<decltype(tile)::kValue>(at, stride);
  });
}

// Bias, activation and the like of the sums of some rows, and their results.
void Finish(const MatmulArgs& args, size_t unit, size_t columns, size_t first_row, size_t rows,
            const float* sums, size_t sum_stride) {
  if (!args.out_bf16) {
    return FinishUnit(args, unit, columns, first_row, rows, sums, sum_stride);
  }
  FinishUnit(args, unit, columns, first_row, rows, sums, sum_stride,
             [&](const float* block, size_t row, size_t index) {
               std::byte* to =
                   args.out_quantized + row * QuantizedRows::Bf16RowBytes(columns) + index * 64;
               StoreBf16(to, QuietNans(LoadF32(block)));
               StoreBf16(to + 32, QuietNans(LoadF32(block + 16)));
             });
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
  // Of a unit of the group, for the row step that begins at `row`; 32 columns for each of its
  // pairs.
  float* Sums(size_t unit, size_t row) const {
    const size_t block = plan.sum_row_blocks > 1 ? row / kAmxRowStep : 0;
    return reinterpret_cast<float*>(scratch + plan.sums) +
           (unit * plan.sum_row_blocks + block) * kAmxRowStep * SumStride();
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

// What comes after steps [step, step + count) of this group: its other steps, then the next group.
NextWeights Next(const GroupRun& run, size_t step, size_t count) {
  const AmxBlocking& plan = run.plan;
  const size_t row_steps = (run.rows + kAmxRowStep - 1) / kAmxRowStep;
  const size_t panels = 2 * run.units * run.UnitPairs();
  const size_t first_panel = 2 * run.first_unit * run.UnitPairs();
  const size_t tile_bytes = plan.panel_bytes / plan.steps;  // about
  const bool within = step + count < plan.steps;
  const std::byte* at = run.args.weights.data + first_panel * plan.panel_bytes;
  at += within ? (step + count) * tile_bytes : panels * plan.panel_bytes;
  const size_t left = within ? plan.steps - step - count : plan.steps;
  const size_t bytes = (left < plan.step_block ? left : plan.step_block) * tile_bytes;
  return {at, bytes, panels, plan.panel_bytes, row_steps * panels / 2 * count};
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
    NextWeights next = Next(run, step, steps);
    for (size_t row = 0; row < run.rows; row += kAmxRowStep) {
      const size_t count = run.rows - row < kAmxRowStep ? run.rows - row : kAmxRowStep;
      const std::byte* rows = run.scratch + (row / 16 * plan.steps + step) * kTileBytes;
      const size_t row_stride = plan.steps * kTileBytes;
      for (size_t unit = 0; unit < run.units; ++unit) {
        float* sums = run.Sums(unit, row);
        for (size_t p = 0; p < unit_pairs; ++p) {
          const WeightTiles& tiles = weights[unit * unit_pairs + p];
          const auto multiply = count > 32   ? MultiplyTiles<3>
                                : count > 16 ? MultiplyTiles<2>
                                             : MultiplyTiles<1>;
          multiply(rows, row_stride, tiles, steps, step == 0, sums + 32 * p, run.SumStride(), next);
        }
        if (steps == left) {
          Finish(run.args, run.first_unit + unit, columns, run.first_row + row, count, sums,
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
