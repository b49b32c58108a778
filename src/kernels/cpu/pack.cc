#include <algorithm>
#include <cstring>
#include <limits>

#include "base/check.h"
#include "base/checked_math.h"
#include "kernels/cpu/pack_panel.h"
#include "kernels/cpu/panel_layout.h"
#include "kernels/ops/packed_weights.h"
#include "kernels/reference/stored_blocks.h"

namespace pelton {
namespace {

void StoreWord(std::byte* to, uint32_t word) { std::memcpy(to, &word, sizeof(word)); }

// Writes row `row` of a block's codes. A row's part of a 64-byte register is one word.
template <int kCodeBits>
void StoreCodes(const BlockCodes& codes, std::byte* block, size_t row) {
  std::byte* to = block + 4 * row;
  const uint32_t* quads = codes.quads;
  if constexpr (kCodeBits == 8) {
    for (int i = 0; i < 8; ++i) StoreWord(to + 64 * i, quads[i]);
  } else if constexpr (kCodeBits == 4) {
    for (int i = 0; i < 4; ++i) StoreWord(to + 64 * i, quads[i] | (quads[i + 4] << 4));
  } else {
    static_assert(kCodeBits == 6);
    for (int i = 0; i < 4; ++i) {
      const uint32_t high = quads[i + 4] & kLowNibbles;
      StoreWord(to + 64 * i, (quads[i] & kLowNibbles) | (high << 4));
    }
    for (int j = 0; j < 2; ++j) {
      uint32_t tops = 0;
      for (int i = 0; i < 4; ++i) tops |= ((quads[4 * j + i] >> 4) & 0x03030303u) << (2 * i);
      StoreWord(to + 64 * (4 + j), tops);
    }
  }
}

BlockCodes CodesOfZero(const PanelFormat& format) {
  BlockCodes codes;
  for (uint32_t& quad : codes.quads) quad = static_cast<uint32_t>(format.zero) * 0x01010101u;
  return codes;
}

template <DType kDType>
void PackSimplePanel(const PanelRows& rows, size_t cols, std::byte* out) {
  constexpr PanelFormat kFormat = *PanelFormatOf(kDType);
  const size_t stored_bytes = BlockBytes(kDType);
  const size_t blocks = cols / kBlockCols;
  const SimpleBlock padding{0, 0, CodesOfZero(kFormat)};
  for (size_t first = 0; first < blocks; first += kGroupBlocks) {
    const size_t count = std::min(kGroupBlocks, blocks - first);
    const size_t header_bytes = GroupHeaderBytes(kFormat, count);
    std::memset(out, 0, header_bytes);
    std::byte* codes = out + header_bytes;
    for (size_t row = 0; row < kPanelRows; ++row) {
      const std::byte* stored = rows[row];
      if (stored != nullptr) stored += first * stored_bytes;
      for (size_t b = 0; b < count; ++b) {
        SimpleBlock block = padding;
        if (stored != nullptr) ReadSimpleBlock<kDType>(stored + b * stored_bytes, block);
        std::memcpy(out + 2 * (b * kPanelRows + row), &block.scale, 2);
        if constexpr (kFormat.has_minimum) {
          std::memcpy(out + 2 * ((count + b) * kPanelRows + row), &block.minimum, 2);
        }
        StoreCodes<kFormat.code_bits>(block.codes, codes + b * CodeBytes(kFormat), row);
      }
    }
    out = codes + count * CodeBytes(kFormat);
  }
}

template <DType kDType>
void PackSuperPanel(const PanelRows& rows, size_t cols, std::byte* out) {
  constexpr PanelFormat kFormat = *PanelFormatOf(kDType);
  const size_t stored_bytes = BlockBytes(kDType);
  SuperBlock padding{};
  for (BlockCodes& codes : padding.codes) codes = CodesOfZero(kFormat);
  for (size_t i = 0; i < cols / kSuperCols; ++i) {
    std::byte* scales = out + 4 * kPanelRows;
    std::byte* minima = scales + SuperScales(kFormat) * kPanelRows;
    std::byte* codes = out + SuperHeaderBytes(kFormat);
    for (size_t row = 0; row < kPanelRows; ++row) {
      SuperBlock block = padding;
      if (rows[row] != nullptr) ReadSuperBlock<kDType>(rows[row] + i * stored_bytes, block);
      std::memcpy(out + 2 * row, &block.d, 2);
      std::memcpy(out + 2 * (kPanelRows + row), &block.dmin, 2);
      for (size_t s = 0; s < SuperScales(kFormat); ++s) {
        scales[s * kPanelRows + row] = static_cast<std::byte>(block.scales[s]);
        if constexpr (kFormat.has_minimum) {
          minima[s * kPanelRows + row] = static_cast<std::byte>(block.minima[s]);
        }
      }
      for (size_t b = 0; b < kSuperCols / kBlockCols; ++b) {
        StoreCodes<kFormat.code_bits>(block.codes[b], codes + b * CodeBytes(kFormat), row);
      }
    }
    out = codes + kSuperCols / kBlockCols * CodeBytes(kFormat);
  }
}

template <size_t kElementBytes>
void PackScalarPanel(const PanelRows& rows, size_t cols, std::byte* out) {
  constexpr size_t kPair = 2 * kElementBytes;
  for (size_t begin = 0; begin < cols; begin += kBlockCols) {
    const size_t count = std::min(kBlockCols, cols - begin);
    for (size_t row = 0; row < kPanelRows; ++row) {
      alignas(8) std::byte block[kBlockCols * kElementBytes] = {};
      const std::byte* stored = rows[row];
      if (stored != nullptr && count == kBlockCols) {  // of a size that the compiler knows
        std::memcpy(block, stored + begin * kElementBytes, sizeof(block));
      } else if (stored != nullptr) {
        std::memcpy(block, stored + begin * kElementBytes, count * kElementBytes);
      }
      for (size_t pair = 0; pair < kBlockCols / 2; ++pair) {
        std::memcpy(out + (pair * kPanelRows + row) * kPair, block + pair * kPair, kPair);
      }
    }
    out += kBlockCols * kPanelRows * kElementBytes;
  }
}

// Whether one of 32 codes is NaN.
bool HasNan(const std::byte* codes) {
  uint64_t tops = 0;
  for (size_t i = 0; i < kBlockCols; i += sizeof(uint64_t)) {
    // Of the magnitudes, only 0x7f reaches the top bit when 1 is added.
    const auto word = LoadUnaligned<uint64_t>(codes + i);
    tops |= (word & 0x7f7f7f7f7f7f7f7full) + 0x0101010101010101ull;
  }
  return (tops & 0x8080808080808080ull) != 0;
}

void PackFloat8Panel(const PanelRows& rows, const PanelScales& scales, size_t cols,
                     std::byte* out) {
  constexpr size_t kBlockBytes = kBlockCols * kPanelRows;
  for (size_t begin = 0; begin < cols; begin += kScaledCols) {
    const size_t group_cols = std::min(kScaledCols, cols - begin);
    std::byte* codes = out + kPanelRows * sizeof(float);
    for (size_t row = 0; row < kPanelRows; ++row) {
      const std::byte* stored = rows[row];
      float scale = 0;
      if (stored != nullptr) scale = ScaleAt(*scales[row].scales, cols, scales[row].row, begin);
      for (size_t first = 0; first < group_cols; first += kBlockCols) {
        alignas(8) std::byte block[kBlockCols] = {};
        const size_t count = std::min(kBlockCols, group_cols - first);
        if (stored != nullptr) std::memcpy(block, stored + begin + first, count);
        if (HasNan(block)) scale = std::numeric_limits<float>::quiet_NaN();
        std::byte* to = codes + first * kPanelRows + 2 * row;
        for (size_t k = 0; k < kBlockCols; k += 2) {
          std::memcpy(to + k * kPanelRows, block + k, 2);
        }
      }
      std::memcpy(out + row * sizeof(float), &scale, sizeof(scale));
    }
    out = codes + DivUp(group_cols, kBlockCols) * kBlockBytes;
  }
}

void PackPanel(DType dtype, const PanelRows& rows, const PanelScales& scales, size_t cols,
               std::byte* out) {
  switch (dtype) {
    case DType::kF8E4M3:
      return PackFloat8Panel(rows, scales, cols, out);
    case DType::kF32:
      return PackScalarPanel<4>(rows, cols, out);
    case DType::kF16:
    case DType::kBF16:
      return PackScalarPanel<2>(rows, cols, out);
    case DType::kQ4_0:
      return PackSimplePanel<DType::kQ4_0>(rows, cols, out);
    case DType::kQ4_1:
      return PackSimplePanel<DType::kQ4_1>(rows, cols, out);
    case DType::kQ5_0:
      return PackSimplePanel<DType::kQ5_0>(rows, cols, out);
    case DType::kQ5_1:
      return PackSimplePanel<DType::kQ5_1>(rows, cols, out);
    case DType::kQ8_0:
      return PackSimplePanel<DType::kQ8_0>(rows, cols, out);
    case DType::kIQ4_NL:
      return PackSimplePanel<DType::kIQ4_NL>(rows, cols, out);
    case DType::kMXFP4:
      return PackSimplePanel<DType::kMXFP4>(rows, cols, out);
    case DType::kQ2_K:
      return PackSuperPanel<DType::kQ2_K>(rows, cols, out);
    case DType::kQ3_K:
      return PackSuperPanel<DType::kQ3_K>(rows, cols, out);
    case DType::kQ4_K:
      return PackSuperPanel<DType::kQ4_K>(rows, cols, out);
    case DType::kQ5_K:
      return PackSuperPanel<DType::kQ5_K>(rows, cols, out);
    case DType::kQ6_K:
      return PackSuperPanel<DType::kQ6_K>(rows, cols, out);
    default:
      PELTON_CHECK(false, "PackPanels needs a dtype with a panel format");
  }
}

size_t TotalRows(const PackArgs& args) {
  size_t rows = 0;
  for (const PackSource& source : args.sources) rows += source.rows;
  return rows;
}

// Rows [first, first + 16) of the sources laid end to end.
PanelRows FindRows(std::span<const PackSource> sources, size_t first, PanelScales* scales) {
  PanelRows found{};
  size_t row = 0;  // next to find
  size_t base = 0;
  for (const PackSource& source : sources) {
    while (row < kPanelRows && first + row < base + source.rows) {
      found[row] = source.data + (first + row - base) * source.row_bytes;
      (*scales)[row] = {&source.scales, first + row - base};
      ++row;
    }
    base += source.rows;
  }
  return found;
}

constexpr size_t kPairRows = 2 * kPanelRows;

}  // namespace

std::optional<size_t> PanelBytes(DType dtype, size_t cols) {
  const std::optional<PanelFormat> format = PanelFormatOf(dtype);
  if (!format) return std::nullopt;
  if (format->code_bits == 0 && !format->scaled) {
    const std::optional<size_t> padded = CheckedAlignUp(cols, kBlockCols);
    if (!padded) return std::nullopt;
    return CheckedMul(*padded, kPanelRows * BlockBytes(dtype));
  }
  if (cols % BlockElements(dtype) != 0) return std::nullopt;
  if (format->super) {
    const size_t bytes = SuperHeaderBytes(*format) + kSuperCols / kBlockCols * CodeBytes(*format);
    return CheckedMul(cols / kSuperCols, bytes);
  }
  const size_t blocks = DivUp(cols, kBlockCols);
  if (format->by_row) {
    const std::optional<size_t> codes = CheckedMul(blocks, CodeBytes(*format));
    return codes ? CheckedAdd(kRowScaleBytes, *codes) : std::nullopt;
  }
  const size_t rest = blocks % kGroupBlocks;
  const std::optional<size_t> full =
      CheckedMul(blocks / kGroupBlocks,
                 GroupHeaderBytes(*format, kGroupBlocks) + kGroupBlocks * CodeBytes(*format));
  if (!full) return std::nullopt;
  return CheckedAdd(*full, GroupHeaderBytes(*format, rest) + rest * CodeBytes(*format));
}

std::optional<size_t> PackedBytes(DType dtype, size_t rows, size_t cols) {
  const std::optional<size_t> panel = PanelBytes(dtype, cols);
  const std::optional<size_t> padded = CheckedAlignUp(rows, kPairRows);
  if (!panel || !padded) return std::nullopt;
  return CheckedMul(*padded / kPanelRows, *panel);
}

size_t PackPanelCount(const PackArgs& args) {
  if (args.interleave_panels) return 4 * DivUp(args.sources[0].rows, kPairRows);
  return 2 * DivUp(TotalRows(args), kPairRows);
}

void PackPanels(const PackArgs& args, size_t begin, size_t end) noexcept {
  const std::optional<size_t> panel_bytes = PanelBytes(args.PackedDType(), args.cols);
  PELTON_CHECK(panel_bytes.has_value(), "the packed size is checked before the memory is taken");
  PELTON_CHECK(!args.interleave_panels ||
                   (args.sources.size() == 2 && args.sources[0].rows == args.sources[1].rows),
               "interleaving needs two sources of equal rows");
  PELTON_CHECK(begin >= args.first_panel && end <= PackPanelCount(args),
               "no panels before the first or beyond the last");
  PELTON_CHECK(!args.packed_as || args.packed_as == DType::kW8,
               "weights keep their format or become W8");
  for (const PackSource& source : args.sources) {
    PELTON_CHECK(source.scales.data == nullptr || source.scales.block_cols % kScaledCols == 0,
                 "a group of columns has one scale");
  }
  for (size_t panel = begin; panel < end; ++panel) {
    PanelScales scales{};
    const PanelRows rows =
        args.interleave_panels
            ? FindRows(args.sources.subspan(panel % 2, 1), panel / 2 * kPanelRows, &scales)
            : FindRows(args.sources, panel * kPanelRows, &scales);
    std::byte* const out = args.out + (panel - args.first_panel) * *panel_bytes;
    if (args.packed_as) {
      PackPanelByRow(args.dtype, rows, scales, args.cols, out);
    } else {
      PackPanel(args.dtype, rows, scales, args.cols, out);
    }
  }
}

}  // namespace pelton
