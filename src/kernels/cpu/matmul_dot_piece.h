#pragma once

#include <cstddef>
#include <cstdint>

#include "kernels/cpu/matmul_panels.h"
#include "kernels/cpu/matmul_rows.h"
#include "kernels/cpu/panel_decode.h"

// What every matmul with 8-bit activations is made of. Each does, for one output and per scale of a
// block, in the order of the blocks and of their halves:
//   dot = term + sum code * x              (term: -zero * sum x; integers, any order)
//   acc = fma(scale_w * scale_x, dot, acc)
//   acc = fma(minimum_w, term, acc)        (with a minimum; then dot starts at 0)

namespace pelton::cpu::KERNEL_ISA {

// The float half of the arithmetic above.
template <bool kMinimum>
inline F32x16 AddScaled(F32x16 acc, I32x16 dot, F32x16 scale, const F32x16* minimum,
                        const float* factors, int sub) {
  acc = Fma(Mul(scale, SetF32(factors[0])), ToF32(dot), acc);
  if constexpr (kMinimum) acc = Fma(*minimum, SetF32(factors[1 + sub]), acc);
  return acc;
}
template <bool kMinimum>
inline I32x16 FirstTerm(const float* factors, int sub) {
  if constexpr (kMinimum) return ZeroI32();
  return SetI32(LoadInt(factors + 1 + sub));
}

// A decoded block of a pair of panels: f32 scales [subs][2 panels][16], minima likewise where the
// format has them, then quads [8][2 panels] of plain codes.
template <int kSubs, bool kMinimum>
struct DecodedBlock {
  static constexpr size_t kMinima = kSubs * 128;
  static constexpr size_t kQuads = kSubs * 128 * (kMinimum ? 2 : 1);
  static constexpr size_t kBytes = kQuads + 1024;
};
inline constexpr size_t kDotPieceBlocks = 16;  // 512 columns: 18 to 24 KB, inside the L1 cache

// Blocks [first, first + count) of one panel into `out` (already at the panel's place in a pair),
// the codes through `prepare`. `first` begins a group.
template <DType kDType, typename Prepare>
void DecodePiece(const std::byte* group, size_t count, size_t blocks_left, std::byte* out,
                 Prepare prepare) {
  using C = PanelCodes<kDType>;
  using D = DecodedBlock<C::kSubs, C::kMinimum>;
  for (size_t done = 0; done < count; done += C::kGroup) {
    const size_t n = blocks_left - done < C::kGroup ? blocks_left - done : C::kGroup;
    const std::byte* codes = group + C::HeaderBytes(n);
    for (size_t b = 0; b < n; ++b, codes += C::kCodeBytes, out += D::kBytes) {
      PELTON_UNROLL
      for (int s = 0; s < C::kSubs; ++s) {
        StoreF32(reinterpret_cast<float*>(out + s * 128), SubScale<kDType>(group, b, s));
        if constexpr (C::kMinimum) {
          StoreF32(reinterpret_cast<float*>(out + D::kMinima + s * 128),
                   SubMinimum<kDType>(group, n, b, s));
        }
      }
      ForEachQuadPair<kDType>(codes, [&](int i, Quad w0, Quad w1) {
        StoreQuad(out + D::kQuads + i * 128, prepare(w0));
        StoreQuad(out + D::kQuads + (i + 4) * 128, prepare(w1));
      });
    }
    group = codes;
  }
}

// Cache lines to fetch while arithmetic runs, `per_block` in each block of a tile.
struct PrefetchStream {
  const std::byte* at;
  size_t per_block;
};

// Fetches the pieces that follow of both panels while the tiles of a piece run.
class NextPiece {
 public:
  NextPiece(const std::byte* panel0, const std::byte* panel1, size_t bytes, size_t tiles,
            size_t tile_blocks)
      : starts_{panel0, panel1},
        lines_((bytes + 63) / 64),
        per_block_((2 * lines_ + tiles * tile_blocks - 1) / (tiles * tile_blocks)),
        per_tile_(per_block_ * tile_blocks) {}

  PrefetchStream ForTile() {
    if (panel_ < 2 && line_ >= lines_) {
      ++panel_;
      line_ = 0;
    }
    if (panel_ == 2) return {starts_[0], 0};
    const PrefetchStream stream{starts_[panel_] + line_ * 64, per_block_};
    line_ += per_tile_;
    return stream;
  }

 private:
  const std::byte* starts_[2];
  size_t lines_;  // of each panel
  size_t per_block_;
  size_t per_tile_;
  int panel_ = 0;
  size_t line_ = 0;
};

}  // namespace pelton::cpu::KERNEL_ISA
