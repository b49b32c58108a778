#include "kernels/reference/matmul.h"

#include <algorithm>
#include <cmath>
#include <cstring>

#include "base/check.h"
#include "kernels/reference/half.h"

namespace pelton {
namespace {

template <typename T>
T Load(const std::byte* p) {
  T value;
  std::memcpy(&value, p, sizeof(value));
  return value;
}
double LoadHalf(const std::byte* p) { return HalfToFloat(Load<uint16_t>(p)); }

unsigned ByteAt(const std::byte* p) { return std::to_integer<unsigned>(*p); }

// Code of column `k` (of 32) in one block's codes.
unsigned CodeAt(const PanelFormat& format, const std::byte* codes, size_t lane, size_t k) {
  const size_t quad = k / 4, byte = lane * 4 + k % 4;
  if (format.code_bits == 8) return ByteAt(codes + quad * 64 + byte);
  const unsigned nibbles = ByteAt(codes + quad % 4 * 64 + byte);
  unsigned code = quad < 4 ? nibbles & 15u : nibbles >> 4;
  if (format.code_bits == 6) {
    const unsigned tops = ByteAt(codes + 256 + quad / 4 * 64 + byte);
    code |= ((tops >> (quad % 4 * 2)) & 3u) << 4;
  }
  return code;
}

double ScalarAt(DType dtype, const std::byte* panel, size_t lane, size_t k) {
  const size_t index = k / 2 * 32 + lane * 2 + k % 2;
  switch (dtype) {
    case DType::kF32:
      return Load<float>(panel + index * 4);
    case DType::kF16:
      return HalfToFloat(Load<uint16_t>(panel + index * 2));
    default:
      return BFloat16ToFloat(Load<uint16_t>(panel + index * 2));
  }
}

double SimpleAt(const PanelFormat& format, const std::byte* panel, size_t cols, size_t lane,
                size_t k) {
  const size_t blocks = DivUp(cols, kBlockCols), block = k / kBlockCols;
  const size_t group = block / kGroupBlocks, b = block % kGroupBlocks;
  const size_t vectors = format.has_minimum ? 2 : 1;
  const size_t code_bytes = 64 * static_cast<size_t>(format.code_bits);
  const size_t full_header = RoundUp(kGroupBlocks * 32 * vectors, 64);
  const std::byte* at = panel + group * (full_header + kGroupBlocks * code_bytes);
  const size_t here = std::min(kGroupBlocks, blocks - group * kGroupBlocks);
  const std::byte* codes = at + RoundUp(here * 32 * vectors, 64) + b * code_bytes;
  const unsigned code = CodeAt(format, codes, lane, k % kBlockCols);
  const std::byte* scale_at = at + (b * 16 + lane) * 2;
  if (format.float4) return BFloat16ToFloat(Load<uint16_t>(scale_at)) * kFloat4Values[code];
  const double scale = LoadHalf(scale_at);
  const double minimum = format.has_minimum ? LoadHalf(at + ((here + b) * 16 + lane) * 2) : 0.0;
  if (format.table) return scale * kIq4NlValues[code];
  return scale * (static_cast<int>(code) - format.zero) + minimum;
}

// Every code is a number here: 0x7f is 480.
double Float8At(const std::byte* panel, size_t lane, size_t k) {
  const size_t group = k / kScaledCols;
  const std::byte* at = panel + group * (64 + kScaledCols * kPanelRows);
  const unsigned code = ByteAt(at + 64 + k % kScaledCols / 2 * 2 * kPanelRows + 2 * lane + k % 2);
  const int exponent = static_cast<int>((code >> 3) & 15), mantissa = static_cast<int>(code & 7);
  const double magnitude =
      exponent == 0 ? std::ldexp(mantissa, -9) : std::ldexp(8 + mantissa, exponent - 10);
  return ((code & 0x80) != 0 ? -magnitude : magnitude) * Load<float>(at + 4 * lane);
}

double ByRowAt(const std::byte* panel, size_t lane, size_t k) {
  const int code = static_cast<int>(ByteAt(panel + 64 + k / 4 * 64 + lane * 4 + k % 4));
  return static_cast<double>(Load<float>(panel + 4 * lane)) * (code - 128);
}

double SuperAt(const PanelFormat& format, const std::byte* panel, size_t lane, size_t k) {
  const size_t subs = kSuperCols / static_cast<size_t>(format.sub);
  const size_t code_bytes = 64 * static_cast<size_t>(format.code_bits);
  const size_t header = 64 + subs * 16 * (format.has_minimum ? 2 : 1);
  const std::byte* at = panel + k / kSuperCols * (header + 8 * code_bytes);
  const size_t column = k % kSuperCols, sub = column / static_cast<size_t>(format.sub);
  const unsigned code =
      CodeAt(format, at + header + column / kBlockCols * code_bytes, lane, column % kBlockCols);
  const double d = LoadHalf(at + lane * 2), dmin = LoadHalf(at + 32 + lane * 2);
  const double scale = Load<int8_t>(at + 64 + sub * 16 + lane);
  const double minimum =
      format.has_minimum ? Load<uint8_t>(at + 64 + subs * 16 + sub * 16 + lane) : 0.0;
  return d * scale * (static_cast<int>(code) - format.zero) - dmin * minimum;
}

double Activation(const MatmulArgs& args, size_t m, size_t k) {
  if (args.x_f32 != nullptr) return args.x_f32[m * args.x_stride + k];
  const QuantizedRows x = {const_cast<std::byte*>(args.x_quantized), args.weights.cols};
  return static_cast<double>(x.Values(m)[k]) * x.Scales(m)[k / QuantizedRows::kBlock];
}

// Of gate, before it is multiplied.
double Gate(GateActivation gate, double x) {
  if (gate == GateActivation::kSilu) return x / (1.0 + std::exp(-x));
  if (gate == GateActivation::kSwigluOai) return x / (1.0 + std::exp(-1.702 * x));
  const double u = std::sqrt(2.0 / M_PI) * (x + 0.044715 * x * x * x);
  return 0.5 * x * (1.0 + std::tanh(u));
}

}  // namespace

double PackedWeight(const PackedWeights& weights, size_t panel, size_t lane, size_t k) {
  const std::optional<PanelFormat> format = PanelFormatOf(weights.dtype);
  const std::optional<size_t> panel_bytes = PanelBytes(weights.dtype, weights.cols);
  PELTON_CHECK(format && panel_bytes, "packed weights have a panel format");
  const std::byte* at = weights.data + panel * *panel_bytes;
  if (format->scaled) return Float8At(at, lane, k);
  if (format->code_bits == 0) return ScalarAt(weights.dtype, at, lane, k);
  if (format->by_row) return ByRowAt(at, lane, k);
  if (format->super) return SuperAt(*format, at, lane, k);
  return SimpleAt(*format, at, weights.cols, lane, k);
}

ReferenceMatmulResult ReferenceMatmul(const MatmulArgs& args) {
  const bool gated = args.gate != GateActivation::kNone;
  const size_t columns = gated ? args.weights.rows / 2 : args.weights.rows;
  const size_t cols = args.weights.cols;
  ReferenceMatmulResult result;
  result.out.resize(args.rows * columns);
  result.magnitude.resize(args.rows * columns);
  std::vector<double> w[2] = {std::vector<double>(cols), std::vector<double>(cols)};
  for (size_t n = 0; n < columns; ++n) {
    // Panels of gate and up alternate.
    const size_t panel = n / kPanelRows * (gated ? 2 : 1);
    for (size_t k = 0; k < cols; ++k) {
      w[0][k] = PackedWeight(args.weights, panel, n % kPanelRows, k);
      if (gated) w[1][k] = PackedWeight(args.weights, panel + 1, n % kPanelRows, k);
    }
    for (size_t m = 0; m < args.rows; ++m) {
      double sum[2] = {0.0, 0.0}, magnitude[2] = {0.0, 0.0};
      for (size_t k = 0; k < cols; ++k) {
        const double x = Activation(args, m, k);
        for (int i = 0; i < (gated ? 2 : 1); ++i) {
          sum[i] += x * w[i][k];
          magnitude[i] += std::fabs(x * w[i][k]);
        }
      }
      double& out = result.out[m * columns + n];
      double& scale = result.magnitude[m * columns + n];
      if (gated) {
        for (size_t i : {0, 1}) {
          const double bias = args.bias != nullptr ? args.bias[i * columns + n] : 0.0;
          sum[i] += bias;
          magnitude[i] += std::fabs(bias);
        }
        if (args.gate_limit > 0) {
          sum[0] = std::min<double>(sum[0], args.gate_limit);
          sum[1] = std::clamp<double>(sum[1], -args.gate_limit, args.gate_limit);
        }
        if (args.gate == GateActivation::kSwigluOai) {
          sum[1] += 1;
          magnitude[1] += 1;
        }
        const double gate = Gate(args.gate, sum[0]);
        out = gate * sum[1];
        // The activations' slopes stay below 1.13.
        scale = 1.13 * magnitude[0] * std::fabs(sum[1]) + std::fabs(gate) * magnitude[1];
      } else {
        const double bias = args.bias != nullptr ? args.bias[n] : 0.0;
        const double residual =
            args.residual != nullptr ? args.residual[m * args.residual_stride + n] : 0.0;
        const double y = sum[0] + bias;
        const bool gelu = args.activation == MatmulActivation::kGeluErf;
        out = (gelu ? y / 2 * (1 + std::erf(y / std::sqrt(2.0))) : y) + residual;
        // The activation's slope stays below 1.13.
        scale = (gelu ? 1.13 : 1) * (magnitude[0] + std::fabs(bias)) + std::fabs(residual);
      }
    }
  }
  return result;
}

}  // namespace pelton
