#include "kernels/reference/matmul_case.h"

#include <sys/mman.h>

#include <algorithm>
#include <bit>
#include <cmath>
#include <cstring>
#include <limits>

#include "base/check.h"

namespace pelton {
namespace {

// xorshift64*, quick enough to fill gigabytes. Source: Vigna 2016.
class Random {
 public:
  explicit Random(uint64_t seed) : state_(seed * 0x9e3779b97f4a7c15ull | 1) {}
  uint64_t Next() {
    state_ ^= state_ >> 12;
    state_ ^= state_ << 25;
    state_ ^= state_ >> 27;
    return state_ * 0x2545f4914f6cdd1dull;
  }
  float InUnit() { return static_cast<float>(static_cast<int64_t>(Next()) >> 40) * 0x1p-23f; }
  // A finite f16 of magnitude 2^-8 to 1, either sign.
  uint16_t Half() {
    const uint64_t r = Next();
    return static_cast<uint16_t>((r & 0x83ff) | ((7 + (r >> 32) % 8) << 10));
  }
  void FillHalves(std::byte* p, size_t count) {
    for (size_t i = 0; i < count; ++i) {
      const uint16_t half = Half();
      std::memcpy(p + 2 * i, &half, 2);
    }
  }
  void FillBytes(std::byte* p, size_t count) {
    for (size_t i = 0; i < count; i += 8) {
      const uint64_t r = Next();
      std::memcpy(p + i, &r, std::min<size_t>(8, count - i));
    }
  }

 private:
  uint64_t state_;
};

size_t OutputColumns(const MatmulShape& shape) {
  return shape.gate == GateActivation::kNone ? shape.columns : 2 * shape.columns;
}

size_t PanelCount(const MatmulShape& shape) {
  return DivUp(shape.columns, 32) * (shape.gate == GateActivation::kNone ? 2 : 4);
}

void FillPanel(DType dtype, size_t cols, std::byte* panel, size_t bytes, Random& random) {
  const PanelFormat format = *PanelFormatOf(dtype);
  if (dtype == DType::kF32) {
    for (size_t i = 0; i < bytes; i += 4) {
      const float value = random.InUnit();
      std::memcpy(panel + i, &value, 4);
    }
  } else if (dtype == DType::kF16) {
    random.FillHalves(panel, bytes / 2);
  } else if (dtype == DType::kBF16) {
    for (size_t i = 0; i < bytes; i += 2) {
      const auto value = static_cast<uint16_t>(std::bit_cast<uint32_t>(random.InUnit()) >> 16);
      std::memcpy(panel + i, &value, 2);
    }
  } else if (format.scaled) {
    random.FillBytes(panel, bytes);
    for (size_t at = 0; at < bytes; at += 64 + kScaledCols * kPanelRows) {
      for (size_t row = 0; row < kPanelRows; ++row) {
        const float scale = 0x1p-8f * (0.5f + std::fabs(random.InUnit()));
        std::memcpy(panel + at + 4 * row, &scale, 4);
      }
    }
  } else if (format.by_row) {
    random.FillBytes(panel, bytes);
    for (size_t row = 0; row < kPanelRows; ++row) {
      const float scale = 0x1p-7f * std::fabs(random.InUnit());
      std::memcpy(panel + 4 * row, &scale, 4);
    }
  } else {
    random.FillBytes(panel, bytes);
    const size_t code_bytes = 64 * static_cast<size_t>(format.code_bits);
    if (format.super) {
      const size_t super_bytes = bytes / (cols / kSuperCols);
      for (size_t at = 0; at < bytes; at += super_bytes) random.FillHalves(panel + at, 32);
    } else {
      const size_t vectors = format.has_minimum ? 2 : 1;
      std::byte* at = panel;
      for (size_t blocks = DivUp(cols, kBlockCols); blocks > 0;) {
        const size_t here = std::min(kGroupBlocks, blocks);
        if (format.float4) {  // 2^-8 to 2^-1
          for (size_t i = 0; i < here * 16; ++i) {
            const auto scale = static_cast<uint16_t>((119 + random.Next() % 8) << 7);
            std::memcpy(at + 2 * i, &scale, 2);
          }
        } else {
          random.FillHalves(at, here * vectors * 16);
        }
        at += RoundUp(here * vectors * 32, 64) + here * code_bytes;
        blocks -= here;
      }
    }
  }
}

}  // namespace

AlignedBytes::AlignedBytes(size_t size) : size_(size) {
  // Large ones in huge pages where the system grants them, as an engine's weights are.
  constexpr size_t kHugePage = size_t{2} << 20;
  const bool large = size >= 4 * kHugePage;
  const size_t alignment = large ? kHugePage : 64;
  const size_t bytes = std::max(alignment, RoundUp(size, alignment));
  data_.reset(static_cast<std::byte*>(std::aligned_alloc(alignment, bytes)));
  PELTON_CHECK(data_ != nullptr, "memory for a test case");
  if (large) madvise(data_.get(), bytes, MADV_HUGEPAGE);
}

MatmulCase::MatmulCase(const MatmulShape& shape, uint64_t seed)
    : shape_(shape),
      x_stride_(shape.cols + 3),
      residual_stride_(shape.columns + 5),
      weights_(PanelCount(shape) * PanelBytes(shape.dtype, shape.cols).value()),
      x_(shape.quantized_x ? shape.rows * QuantizedRows::RowBytes(shape.cols)
                           : shape.rows * x_stride_ * sizeof(float)) {
  Random random(seed);
  const size_t panel_bytes = *PanelBytes(shape.dtype, shape.cols);
  for (size_t p = 0; p < PanelCount(shape); ++p) {
    FillPanel(shape.dtype, shape.cols, weights_.data() + p * panel_bytes, panel_bytes, random);
  }
  if (shape.quantized_x) {
    const QuantizedRows rows = {x_.data(), shape.cols};
    const size_t padded = QuantizedRows::PaddedCols(shape.cols);
    for (size_t m = 0; m < shape.rows; ++m) {
      for (size_t b = 0; b < padded / 32; ++b) {
        int32_t sum = 0;
        for (size_t k = b * 32; k < (b + 1) * 32; ++k) {
          const auto value = static_cast<int8_t>(static_cast<int>(random.Next() >> 32) % 128);
          rows.Values(m)[k] = k < shape.cols ? value : int8_t{0};
          sum += rows.Values(m)[k];
        }
        rows.Scales(m)[b] = std::fabs(random.InUnit());
        // Such weights are multiplied by rows with one scale.
        if (PanelFormatOf(shape.dtype)->by_row) rows.Scales(m)[b] = rows.Scales(m)[0];
        rows.Sums(m)[b] = sum;
      }
    }
  } else {
    auto* x = reinterpret_cast<float*>(x_.data());
    for (size_t i = 0; i < shape.rows * x_stride_; ++i) {
      x[i] = i % x_stride_ < shape.cols ? random.InUnit() : std::numeric_limits<float>::quiet_NaN();
    }
  }
  if (shape.bias) {
    for (size_t n = 0; n < OutputColumns(shape); ++n) bias_.push_back(random.InUnit());
  }
  if (shape.residual) {
    for (size_t i = 0; i < shape.rows * residual_stride_; ++i) {
      residual_.push_back(random.InUnit());
    }
  }
}

MatmulArgs MatmulCase::Args() { return ArgsOfRows(0, shape_.rows); }

MatmulArgs MatmulCase::ArgsOfRows(size_t first, size_t count) {
  MatmulArgs args = {};
  if (shape_.quantized_x) {
    args.x_quantized = x_.data() + first * QuantizedRows::RowBytes(shape_.cols);
  } else {
    args.x_f32 = reinterpret_cast<const float*>(x_.data()) + first * x_stride_;
    args.x_stride = x_stride_;
  }
  args.rows = count;
  args.weights = {weights_.data(), shape_.dtype, OutputColumns(shape_), shape_.cols};
  args.gate = shape_.gate;
  args.activation = shape_.activation;
  args.gate_limit = shape_.gate_limit;
  if (shape_.bias) args.bias = bias_.data();
  if (shape_.residual) {
    args.residual = residual_.data() + first * residual_stride_;
    args.residual_stride = residual_stride_;
  }
  return args;
}

std::vector<std::byte> MatmulCase::Run(const MatmulImpl& impl, const MatmulArgs& args,
                                       const std::vector<size_t>& cuts) {
  MatmulArgs run = args;
  const size_t bytes = shape_.quantized_out ? args.rows * QuantizedRows::RowBytes(shape_.columns)
                                            : args.rows * shape_.columns * sizeof(float);
  AlignedBytes out(bytes);
  std::memset(out.data(), 0xff, bytes);
  if (shape_.quantized_out) {
    run.out_quantized = out.data();
  } else {
    run.out = reinterpret_cast<float*>(out.data());
    run.out_stride = shape_.columns;
  }
  AlignedBytes scratch(impl.scratch_bytes(run));
  std::memset(scratch.data(), 0xff, scratch.size());
  size_t begin = 0;
  const size_t units = DivUp(shape_.columns, 32);
  for (const size_t cut : cuts) {
    const size_t end = std::clamp(cut, begin, units);
    impl.run(run, begin, end, scratch.data());
    begin = end;
  }
  impl.run(run, begin, units, scratch.data());
  return {out.data(), out.data() + bytes};
}

}  // namespace pelton
