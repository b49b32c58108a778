#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>

#include "base/dtype.h"

namespace pelton {

// Matmul weights live only in this packed form, one for each stored format, holding the stored
// values exactly, and one of our own, W8, made from any of them. *Panels* are of 16 output rows,
// the inner dimension K in blocks of 32, so that one zmm register holds a lane per output row and
// the same bytes serve one row, a few rows and many rows on every instruction set. Everything
// inside a panel is read front to back, once.
//
// Scalars (F32, F16, BF16): [K / 2][16 rows][2 k] elements of the stored type.
//
// Floats of 8 bits with scales (F8_E4M3), in groups of up to 4 blocks: f32 scales [16], then the
// codes of each block as scalars of one byte, 512 bytes. value = scale * float(code), rounded once.
// A code of a panel is always a number, 0x7f being the 480 that follows 448: a NaN in the file
// makes the scale of its row and group NaN instead. Every sum over the row is NaN either way, and
// kernels need not look for it.
//
// Codes: unsigned integers u in *quads*, [16 rows][4 k], 64 bytes a quad of bytes, 8 quads a block.
//   8 bits  512 bytes a block: the 8 quads
//   4 bits  256 bytes: 4 registers; register i holds quad i in its low and quad i + 4 in its high
//           nibbles
//   6 bits  the 256 bytes of 4 bits, then two registers of 2-bit tops: register j holds, two bits
//           each from the lowest, the bits 4..5 of quads 4j .. 4j + 3
//
// Simple formats, in groups of up to 4 blocks: f16 scales [blocks][16], then with a minimum f16
// minima [blocks][16], zero-padded together to 64 bytes; then the codes of each block.
// value = scale * (u - zero) + minimum.
//   Q4_0   4 bits  zero 8                 Q4_1  4 bits, minimum
//   Q5_0   6 bits  zero 16                Q5_1  6 bits, minimum
//   Q8_0   8 bits  zero 128 (u = q + 128)
//   IQ4_NL 4 bits  value = scale * table[u]
//   MXFP4  4 bits  value = scale * table[u], scales in bf16, which holds every power of two of the
//          file's exponents e, 2^(e - 128), since the table has twice the values; exact in all
//          arithmetics up to 2^124, an e of 255 is NaN
//
// Super formats, K a multiple of 256: per 256 columns f16 d [16], f16 dmin [16]; scales int8
// [256 / sub][16]; with a minimum uint8 minima [256 / sub][16]; then the codes of 8 blocks.
// value = d * scales[sub] * (u - zero) - dmin * minima[sub].
//   Q2_K   4 bits  sub 16, minimum        Q3_K  4 bits  sub 16, zero 4
//   Q4_K   4 bits  sub 32, minimum        Q5_K  6 bits  sub 32, minimum
//   Q6_K   6 bits  sub 16, zero 32
// (dmin is zero where there is no minimum.)
//
// W8, the format of our own: f32 scales [16], then the codes of each block, 8 bits, zero 128.
// value = scale * (u - zero), of a row that was rotated (kernels/ops/rotate.h) before it was
// rounded: it is to be multiplied by rows that are rotated too. One scale a row leaves nothing but
// integers to add up.
struct PanelFormat {
  int code_bits;  // 4, 6, 8; 0 for scalars and floats of 8 bits
  int sub;        // columns that share a scale: 32 or 16
  bool super;     // two-level scales
  bool has_minimum;
  int zero;             // zero point of the codes
  bool table;           // codes index kIq4NlValues, or kFloat4Values
  bool scaled = false;  // floats of 8 bits with scales
  bool float4 = false;  // MXFP4
  bool by_row = false;  // one scale for a whole row, which is rotated: W8
};

inline constexpr size_t kPanelRows = 16;
inline constexpr size_t kBlockCols = 32;
inline constexpr size_t kGroupBlocks = 4;  // simple formats
inline constexpr size_t kSuperCols = 256;  // super formats
// Columns that share a scale in panels of floats of 8 bits.
inline constexpr size_t kScaledCols = kGroupBlocks * kBlockCols;
inline constexpr int8_t kIq4NlValues[16] = {-127, -104, -83, -65, -49, -35, -22, -10,
                                            1,    13,   25,  38,  53,  69,  89,  113};

inline constexpr int8_t kFloat4Values[16] = {0, 1,  2,  3,  4,  6,  8,  12,
                                             0, -1, -2, -3, -4, -6, -8, -12};

constexpr std::optional<PanelFormat> PanelFormatOf(DType dtype) {
  switch (dtype) {
    case DType::kF32:
    case DType::kF16:
    case DType::kBF16:
      return PanelFormat{0, 32, false, false, 0, false};
    case DType::kF8E4M3:
      return PanelFormat{0, 32, false, false, 0, false, true};
    case DType::kQ4_0:
      return PanelFormat{4, 32, false, false, 8, false};
    case DType::kQ4_1:
      return PanelFormat{4, 32, false, true, 0, false};
    case DType::kQ5_0:
      return PanelFormat{6, 32, false, false, 16, false};
    case DType::kQ5_1:
      return PanelFormat{6, 32, false, true, 0, false};
    case DType::kQ8_0:
      return PanelFormat{8, 32, false, false, 128, false};
    case DType::kIQ4_NL:
      return PanelFormat{4, 32, false, false, 0, true};
    case DType::kMXFP4:
      return PanelFormat{4, 32, false, false, 0, true, false, true};
    case DType::kQ2_K:
      return PanelFormat{4, 16, true, true, 0, false};
    case DType::kQ3_K:
      return PanelFormat{4, 16, true, false, 4, false};
    case DType::kQ4_K:
      return PanelFormat{4, 32, true, true, 0, false};
    case DType::kQ5_K:
      return PanelFormat{6, 32, true, true, 0, false};
    case DType::kQ6_K:
      return PanelFormat{6, 16, true, false, 32, false};
    case DType::kW8:
      return PanelFormat{8, 32, false, false, 128, false, false, false, true};
    default:
      return std::nullopt;
  }
}

// Whether tensors of files can be multiplied and embedded as they are.
constexpr bool IsStoredFormat(DType dtype) {
  const std::optional<PanelFormat> format = PanelFormatOf(dtype);
  return format.has_value() && !format->by_row;
}

struct PackedWeights {
  const std::byte* data;  // 64-byte aligned, PackedBytes(dtype, rows, cols)
  DType dtype;            // the stored format whose values it holds, or W8
  size_t rows;            // N, output features
  size_t cols;            // K
};

// Bytes of one panel and of the whole matrix; rows are padded to whole pairs of panels (32), cols
// to whole blocks, with weights of value zero. nullopt: not a weight format, or the size overflows.
std::optional<size_t> PanelBytes(DType dtype, size_t cols);
std::optional<size_t> PackedBytes(DType dtype, size_t rows, size_t cols);

// The scales beside a matrix of F8_E4M3, one for each block of rows and columns: element (r, c)
// stands for its value times scale [(first_row + r) / block_rows][c / block_cols]. Blocks at the
// edges may be partial.
struct BlockScales {
  // Row-major [blocks of rows][ceil(cols / block_cols)], aligned to nothing. null: all are 1.
  const std::byte* data = nullptr;
  DType dtype = DType::kF32;  // or BF16, or F8_E8M0
  size_t block_rows = 128;
  size_t block_cols = 128;  // a multiple of kScaledCols
  size_t first_row = 0;     // of the matrix that the scales belong to; not 0 in a slice
};

// The scale of element (row, col) of a matrix with `cols` columns.
float ScaleAt(const BlockScales& scales, size_t cols, size_t row, size_t col) noexcept;

// Rows of one stored tensor, as in the model file.
struct PackSource {
  const std::byte* data;
  size_t rows;
  size_t row_bytes;
  BlockScales scales = {};  // of F8_E4M3; each at most FLT_MAX / 448, so that values are finite
};

// Several tensors of one stored DType packed as one matrix: row r of the result is row r of the
// sources laid end to end; with `interleave_panels`, which needs two sources of equal rows, panel
// 2i comes from the first and panel 2i + 1 from the second (for gated matmul; each source is then
// padded to whole pairs of panels by itself).
struct PackArgs {
  DType dtype;
  std::span<const PackSource> sources;
  size_t cols;
  bool interleave_panels;
  std::byte* out;
  size_t first_panel = 0;               // that `out` begins with
  std::optional<DType> packed_as = {};  // W8, which requires MayRotate(cols); else `dtype`'s own

  DType PackedDType() const { return packed_as.value_or(dtype); }
};

// Panels of the result, padding included.
size_t PackPanelCount(const PackArgs& args);

// Writes panels [begin, end). Thread-safe for disjoint ranges; no allocation. Requires: begin >=
// first_panel.
void PackPanels(const PackArgs& args, size_t begin, size_t end) noexcept;

// Decodes one stored row to f32: the exact values, as the format's definition computes them; those
// of F8_E4M3 without scales. Requires: IsStoredFormat(dtype) and row holds RowBytes(dtype, cols).
void DecodeRow(DType dtype, const std::byte* row, size_t cols, float* out) noexcept;

// Multiplies the decoded row `row`, [cols], by its scales; each product is rounded to f32, as
// matmuls do.
void ScaleRow(const BlockScales& scales, size_t row, size_t cols, float* values) noexcept;

}  // namespace pelton
