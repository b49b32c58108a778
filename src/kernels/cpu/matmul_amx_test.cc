#include "kernels/cpu/matmul_amx.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <cstdlib>
#include <cstring>
#include <memory>
#include <random>
#include <vector>

#include "base/checked_math.h"
#include "kernels/ops/quantized_rows.h"

namespace pelton {
namespace {

struct Build {
  const char* name;
  uint32_t required_features;
  OpFn<MatmulArgs> run;
};

std::vector<Build> Builds() {
  const Build all[] = {
      {"amx", kCpuAmx, cpu::amx::MatmulAmx},
      {"amx_emulated", 0, cpu::amx_emulated::MatmulAmx},
      {"amx_emulated_avx512", kCpuAvx512 | kCpuAvx512Vnni, cpu::amx_emulated_avx512::MatmulAmx}};
  std::vector<Build> runnable;
  for (const Build& build : all) {
    if ((build.required_features & ~CpuFeatures()) == 0) runnable.push_back(build);
  }
  return runnable;
}

struct Free {
  void operator()(std::byte* data) const { std::free(data); }
};
// Aligned, filled with a pattern that is a NaN as f32 and as bf16.
struct Bytes {
  explicit Bytes(size_t bytes)
      : size(RoundUp(std::max<size_t>(bytes, 1), 64)),
        data(static_cast<std::byte*>(std::aligned_alloc(64, size))) {
    std::memset(data.get(), 0xff, size);
  }
  size_t size;
  std::unique_ptr<std::byte, Free> data;
};

// A matmul with everything that its result depends on, and the result in f64.
struct Case {
  DType dtype;
  bool quantized_x;
  GateActivation gate;
  size_t rows, features, cols;  // M, N, K

  std::vector<std::byte> stored[2];  // weights; gate and up when gated
  std::vector<float> scales = {};    // of F8_E4M3, of blocks of 30 rows of both
  std::vector<float> x;              // [M, K], what the activations stand for
  std::vector<std::byte> x_quantized;
  std::vector<float> bias, residual;  // empty: none
  size_t x_stride = 0, residual_stride = 0;
  float gate_limit = 0;

  BlockScales Scales() const {
    if (scales.empty()) return {};
    return {reinterpret_cast<const std::byte*>(scales.data()), DType::kF32, 30};
  }
};

void RandomStoredWeights(Case& c, std::mt19937& random) {
  const size_t bytes = BlockBytes(c.dtype);
  std::normal_distribution<float> normal;
  for (int i = 0; i < (c.gate == GateActivation::kNone ? 1 : 2); ++i) {
    c.stored[i].resize(c.features * static_cast<size_t>(*RowBytes(c.dtype, c.cols)));
    for (std::byte& byte : c.stored[i]) byte = static_cast<std::byte>(random());
    // f16 fields below 0.02, as in models; their places are those of the block layouts.
    const auto small_half = [&](size_t at) {
      const uint16_t half = static_cast<uint16_t>((random() & 0x83ff) | (5 + random() % 4) << 10);
      std::memcpy(c.stored[i].data() + at, &half, 2);
    };
    for (size_t at = 0; at < c.stored[i].size(); at += bytes) {
      switch (c.dtype) {
        case DType::kBF16: {
          const auto bits = std::bit_cast<uint32_t>(normal(random));
          const auto half = static_cast<uint16_t>(bits >> 16);
          std::memcpy(c.stored[i].data() + at, &half, 2);
          break;
        }
        case DType::kQ4_1:
        case DType::kQ5_1:
        case DType::kQ4_K:
        case DType::kQ5_K:
          small_half(at);
          small_half(at + 2);
          break;
        case DType::kQ2_K:
          small_half(at + 80);
          small_half(at + 82);
          break;
        case DType::kQ3_K:
          small_half(at + 108);
          break;
        case DType::kQ6_K:
          small_half(at + 208);
          break;
        case DType::kMXFP4:  // exponents of such halves
          c.stored[i][at] = static_cast<std::byte>(110 + random() % 8);
          break;
        case DType::kF8E4M3:  // no NaN
          c.stored[i][at] &= std::byte{0xbf};
          break;
        default:
          small_half(at);
          break;
      }
    }
  }
}

void QuantizeActivations(Case& c) {
  c.x_quantized.resize(c.rows * QuantizedRows::RowBytes(c.cols));
  const QuantizedRows rows{c.x_quantized.data(), c.cols};
  for (size_t m = 0; m < c.rows; ++m) {
    for (size_t b = 0; b < c.cols / 32; ++b) {
      float* x = c.x.data() + m * c.x_stride + b * 32;
      float largest = 0;
      for (size_t k = 0; k < 32; ++k) largest = std::max(largest, std::fabs(x[k]));
      const float scale = largest / 127;
      int32_t sum = 0;
      for (size_t k = 0; k < 32; ++k) {
        const auto value = static_cast<int8_t>(scale > 0 ? std::lrint(x[k] / scale) : 0);
        rows.Values(m)[b * 32 + k] = value;
        sum += value;
        x[k] = static_cast<float>(value) * scale;
      }
      rows.Scales(m)[b] = scale;
      rows.Sums(m)[b] = sum;
    }
  }
}

Case RandomCase(DType dtype, bool quantized_x, GateActivation gate, size_t rows, size_t features,
                size_t cols, std::mt19937& random) {
  Case c{dtype, quantized_x, gate, rows, features, cols, {}, {}, {}, {}, {}, {}};
  RandomStoredWeights(c, random);
  std::normal_distribution<float> normal;
  if (dtype == DType::kF8E4M3) {
    c.scales.resize(DivUp(features, 30) * DivUp(cols, kScaledCols));
    for (float& scale : c.scales) scale = 0.01f + std::fabs(normal(random));
  }
  c.x_stride = quantized_x ? cols : cols + 3;
  c.x.resize(rows * c.x_stride);
  for (float& value : c.x) value = normal(random);
  if (quantized_x) QuantizeActivations(c);
  if (gate == GateActivation::kNone && random() % 2 == 0) {
    c.bias.resize(features);
    for (float& value : c.bias) value = normal(random);
    c.residual_stride = features + 5;
    c.residual.resize(rows * c.residual_stride);
    for (float& value : c.residual) value = normal(random);
  }
  if (gate == GateActivation::kSwigluOai) {
    c.bias.resize(2 * features);
    for (float& value : c.bias) value = normal(random);
    c.gate_limit = 2;
  }
  return c;
}

double Activated(GateActivation gate, double x) {
  if (gate == GateActivation::kSilu) return x / (1 + std::exp(-x));
  if (gate == GateActivation::kSwigluOai) return x / (1 + std::exp(-1.702 * x));
  return 0.5 * x * (1 + std::tanh(std::sqrt(2 / M_PI) * (x + 0.044715 * x * x * x)));
}

struct Expected {
  double value;
  double tolerance;  // of rounding both factors to bf16 and of summing in f32
};

class Reference {
 public:
  explicit Reference(const Case& c) : c_(c) {
    const size_t row_bytes = static_cast<size_t>(*RowBytes(c.dtype, c.cols));
    for (int i = 0; i < 2; ++i) {
      if (c.stored[i].empty()) continue;
      decoded_[i].resize(c.features * c.cols);
      for (size_t n = 0; n < c.features; ++n) {
        DecodeRow(c.dtype, c.stored[i].data() + n * row_bytes, c.cols,
                  decoded_[i].data() + n * c.cols);
        ScaleRow(c.Scales(), n, c.cols, decoded_[i].data() + n * c.cols);
      }
    }
  }

  Expected At(size_t m, size_t n) const {
    Expected y = Dot(0, m, n);
    if (c_.gate != GateActivation::kNone) {
      Expected up = Dot(1, m, n);
      if (c_.gate == GateActivation::kSwigluOai) {
        y.value = std::min<double>(y.value + c_.bias[n], c_.gate_limit);
        up.value =
            std::clamp<double>(up.value + c_.bias[c_.features + n], -c_.gate_limit, c_.gate_limit) +
            1;
      }
      const double a = Activated(c_.gate, y.value);
      // The activations' slopes are below 1.13; the last term is the error of the fast exp.
      return {a * up.value, 1.13 * y.tolerance * (std::fabs(up.value) + up.tolerance) +
                                std::fabs(a) * up.tolerance + 1e-5 * std::fabs(a * up.value) +
                                1e-6};
    }
    double value = y.value;
    if (!c_.bias.empty()) value += c_.bias[n];
    if (!c_.residual.empty()) value += c_.residual[m * c_.residual_stride + n];
    return {value, y.tolerance + 1e-6 * std::fabs(value) + 1e-6};
  }

 private:
  Expected Dot(int source, size_t m, size_t n) const {
    const float* x = c_.x.data() + m * c_.x_stride;
    const float* w = decoded_[source].data() + n * c_.cols;
    double sum = 0, magnitude = 0;
    for (size_t k = 0; k < c_.cols; ++k) {
      sum += static_cast<double>(x[k]) * w[k];
      magnitude += std::fabs(static_cast<double>(x[k]) * w[k]);
    }
    return {sum, magnitude * (0x1p-8 + 1e-5)};
  }

  const Case& c_;
  std::vector<float> decoded_[2];
};

struct Packed {
  explicit Packed(const Case& c) : data(Bytes(1)) {
    const size_t row_bytes = static_cast<size_t>(*RowBytes(c.dtype, c.cols));
    const bool gated = c.gate != GateActivation::kNone;
    const PackSource sources[] = {{c.stored[0].data(), c.features, row_bytes, c.Scales()},
                                  {c.stored[1].data(), c.features, row_bytes, c.Scales()}};
    PackArgs args{c.dtype, std::span(sources, gated ? 2 : 1), c.cols, gated, nullptr};
    const size_t panels = PackPanelCount(args);
    data = Bytes(panels * PanelBytes(c.dtype, c.cols).value());
    args.out = data.data.get();
    PackPanels(args, 0, panels);
    weights = {data.data.get(), c.dtype, gated ? 2 * c.features : c.features, c.cols};
  }
  Bytes data;
  PackedWeights weights;
};

MatmulArgs ArgsOf(const Case& c, const Packed& packed) {
  MatmulArgs args{};
  args.x_f32 = c.quantized_x ? nullptr : c.x.data();
  args.x_quantized = c.quantized_x ? c.x_quantized.data() : nullptr;
  args.x_stride = c.x_stride;
  args.rows = c.rows;
  args.weights = packed.weights;
  args.gate = c.gate;
  args.bias = c.bias.empty() ? nullptr : c.bias.data();
  args.gate_limit = c.gate_limit;
  args.residual = c.residual.empty() ? nullptr : c.residual.data();
  args.residual_stride = c.residual_stride;
  args.out_stride = c.features + 2;
  return args;
}

// What bf16 rounds to, of 16 bits.
float FromBf16(const std::byte* at) {
  uint16_t half;
  std::memcpy(&half, at, 2);
  return std::bit_cast<float>(uint32_t{half} << 16);
}

constexpr float kUntouched = -12345.0f;

// Runs units in the given order of ranges; out has stride features + 2.
std::vector<float> RunUnits(const Build& build, const Case& c, const Packed& packed, size_t piece) {
  std::vector<float> out(c.rows * (c.features + 2), kUntouched);
  MatmulArgs args = ArgsOf(c, packed);
  args.out = out.data();
  const size_t units = DivUp(c.features, 32);
  for (size_t begin = 0; begin < units; begin += piece) {
    const Bytes scratch(AmxMatmulScratchBytes(args));
    build.run(args, begin, std::min(units, begin + piece), scratch.data.get());
  }
  return out;
}

void ExpectCase(const Case& c, size_t piece) {
  SCOPED_TRACE(testing::Message() << DTypeName(c.dtype) << " M " << c.rows << " N " << c.features
                                  << " K " << c.cols << " quantized " << c.quantized_x << " gate "
                                  << static_cast<int>(c.gate));
  const Packed packed(c);
  const Reference reference(c);
  for (const Build& build : Builds()) {
    SCOPED_TRACE(build.name);
    const std::vector<float> out = RunUnits(build, c, packed, piece);
    double squares = 0;
    for (size_t m = 0; m < c.rows; ++m) {
      const float* row = out.data() + m * (c.features + 2);
      for (size_t n = 0; n < c.features; ++n) {
        const Expected expected = reference.At(m, n);
        const double error = std::fabs(row[n] - expected.value) / expected.tolerance;
        ASSERT_LE(error, 1) << m << ", " << n << ": " << row[n] << ", expected " << expected.value;
        squares += error * error;
      }
      ASSERT_EQ(row[c.features], kUntouched);
      ASSERT_EQ(row[c.features + 1], kUntouched);
    }
    // Errors of rounding cancel out; systematic ones (of wrong rounding) would not.
    if (c.cols >= 256) {
      EXPECT_LE(std::sqrt(squares / static_cast<double>(c.rows * c.features)), 0.1);
    }
  }
}

std::vector<DType> Formats(bool quantized_x) {
  std::vector<DType> formats;
  for (size_t i = 0; i < kDTypeCount; ++i) {
    const auto dtype = static_cast<DType>(i);
    if (AmxMatmulSupports(quantized_x, dtype)) formats.push_back(dtype);
  }
  return formats;
}

TEST(AmxMatmul, TakesAllFormatsButF32) {
  EXPECT_EQ(Formats(true).size(), 12u);
  EXPECT_EQ(Formats(false).size(), 15u);
}

TEST(AmxMatmul, EveryFormatIsNearTheExactProduct) {
  std::mt19937 random(1);
  for (const bool quantized_x : {true, false}) {
    for (const DType dtype : Formats(quantized_x)) {
      const size_t cols = IsQuantized(dtype) ? BlockElements(dtype) == 256 ? 768 : 608 : 601;
      ExpectCase(RandomCase(dtype, quantized_x, GateActivation::kNone, 21, 40, cols, random), 1);
      ExpectCase(RandomCase(dtype, quantized_x, GateActivation::kSilu, 33, 40, cols, random), 2);
      if (HasFailure()) return;
    }
  }
}

// Around tiles of 16 rows, blocks of 32, the border between few rows and many, groups of units.
TEST(AmxMatmul, EveryShapeIsNearTheExactProduct) {
  std::mt19937 random(2);
  for (const size_t rows : {1, 15, 16, 17, 31, 32, 33, 64, 65, 100}) {
    for (const size_t features : {1, 16, 31, 32, 33, 97, 192}) {
      const GateActivation gate = static_cast<GateActivation>(random() % 4);
      ExpectCase(RandomCase(DType::kQ8_0, true, gate, rows, features, 32, random), 3);
      ExpectCase(RandomCase(DType::kQ4_1, true, gate, rows, features, 160, random), 7);
      ExpectCase(RandomCase(DType::kBF16, false, gate, rows, features, 33, random), 2);
      if (HasFailure()) return;
    }
  }
}

// K in several pieces, for few and for many rows; rows in several blocks.
TEST(AmxMatmul, LongRowsAndManyRowsAreNearTheExactProduct) {
  std::mt19937 random(3);
  for (const GateActivation gate : {GateActivation::kNone, GateActivation::kGeluTanh}) {
    ExpectCase(RandomCase(DType::kQ4_0, true, gate, 18, 33, 1312, random), 1);
    ExpectCase(RandomCase(DType::kQ6_K, true, gate, 70, 70, 4352, random), 9);
    ExpectCase(RandomCase(DType::kBF16, false, gate, 70, 70, 4129, random), 9);
    ExpectCase(RandomCase(DType::kF8E4M3, false, gate, 70, 70, 4129, random), 9);
    ExpectCase(RandomCase(DType::kQ8_0, true, gate, 519, 40, 64, random), 9);
  }
}

// Integers that bf16 holds, with sums below 2^24: every result is exact, so a single wrong place
// in packing, tiles or blocks shows.
TEST(AmxMatmul, SmallIntegersAreExact) {
  std::mt19937 random(4);
  for (const size_t rows : {5, 40, 90}) {
    const size_t features = 150, cols = 2464;
    Case c{DType::kQ8_0, true, GateActivation::kNone, rows, features, cols, {}, {}, {}, {}, {}, {}};
    RandomStoredWeights(c, random);
    for (size_t at = 0; at < c.stored[0].size(); at += 34) {
      const uint16_t one = 0x3c00;
      std::memcpy(c.stored[0].data() + at, &one, 2);
      for (size_t i = 2; i < 34; ++i)
        c.stored[0][at + i] = static_cast<std::byte>(random() % 9 - 4);
    }
    c.x_stride = cols;
    c.x.resize(rows * cols);
    // A block's largest value of 127 makes its scale 1.
    for (size_t i = 0; i < c.x.size(); ++i) {
      c.x[i] = i % 32 == 0 ? 127.0f : static_cast<float>(static_cast<int>(random() % 255) - 127);
    }
    QuantizeActivations(c);
    const Packed packed(c);
    const Reference reference(c);
    for (const Build& build : Builds()) {
      const std::vector<float> out = RunUnits(build, c, packed, 5);
      for (size_t m = 0; m < rows; ++m) {
        for (size_t n = 0; n < features; ++n) {
          ASSERT_EQ(out[m * (features + 2) + n], reference.At(m, n).value)
              << build.name << " " << m;
        }
      }
    }
  }
}

TEST(AmxMatmul, BitsDependOnNeitherTheUnitSplitNorTheOtherRows) {
  std::mt19937 random(5);
  for (const DType dtype : {DType::kQ4_0, DType::kQ4_K}) {
    Case c = RandomCase(dtype, true, GateActivation::kSilu, 80, 224, 2560, random);
    const Packed packed(c);
    for (const Build& build : Builds()) {
      const std::vector<float> whole = RunUnits(build, c, packed, 100);
      EXPECT_EQ(whole, RunUnits(build, c, packed, 3));
      for (const size_t rows : {1, 17, 40}) {  // the plan for few rows has other pieces of K
        c.rows = rows;
        const std::vector<float> part = RunUnits(build, c, packed, 100);
        EXPECT_TRUE(std::equal(part.begin(), part.end(), whole.begin())) << build.name;
      }
      c.rows = 80;
    }
  }
}

TEST(AmxMatmul, QuantizesItsResult) {
  std::mt19937 random(6);
  for (const GateActivation gate : {GateActivation::kNone, GateActivation::kGeluTanh}) {
    const Case c = RandomCase(DType::kQ5_0, true, gate, 37, 96, 256, random);
    const Packed packed(c);
    for (const Build& build : Builds()) {
      const std::vector<float> out = RunUnits(build, c, packed, 3);
      MatmulArgs args = ArgsOf(c, packed);
      const Bytes quantized(c.rows * QuantizedRows::RowBytes(c.features));
      args.out_quantized = quantized.data.get();
      const Bytes scratch(AmxMatmulScratchBytes(args));
      build.run(args, 0, 1, scratch.data.get());
      build.run(args, 1, 3, scratch.data.get());
      const QuantizedRows rows{quantized.data.get(), c.features};
      for (size_t m = 0; m < c.rows; ++m) {
        for (size_t b = 0; b < c.features / 32; ++b) {
          const float* x = out.data() + m * (c.features + 2) + b * 32;
          const float scale = rows.Scales(m)[b];
          float largest = 0;
          int32_t sum = 0;
          for (size_t i = 0; i < 32; ++i) {
            const int8_t value = rows.Values(m)[b * 32 + i];
            ASSERT_LE(std::fabs(x[i] - static_cast<float>(value) * scale), 0.5001f * scale);
            largest = std::max(largest, std::fabs(x[i]));
            sum += value;
          }
          ASSERT_EQ(scale, largest / 127.0f);
          ASSERT_EQ(rows.Sums(m)[b], sum);
        }
      }
    }
  }
}

TEST(AmxMatmul, AddsToTheResidualInPlace) {
  std::mt19937 random(7);
  Case c = RandomCase(DType::kQ8_0, true, GateActivation::kNone, 20, 48, 64, random);
  c.residual_stride = c.features + 2;
  c.residual.assign(c.rows * c.residual_stride, 0.0f);
  for (float& value : c.residual) value = static_cast<float>(random() % 100);
  const Packed packed(c);
  for (const Build& build : Builds()) {
    const std::vector<float> expected = RunUnits(build, c, packed, 2);
    std::vector<float> both = c.residual;
    MatmulArgs args = ArgsOf(c, packed);
    args.residual = args.out = both.data();
    const Bytes scratch(AmxMatmulScratchBytes(args));
    build.run(args, 0, 2, scratch.data.get());
    for (size_t m = 0; m < c.rows; ++m) {
      for (size_t n = 0; n < c.features; ++n) {
        ASSERT_EQ(both[m * c.residual_stride + n], expected[m * (c.features + 2) + n]);
      }
    }
  }
}

TEST(AmxMatmul, RowsMayHoldBf16) {
  std::mt19937 random(9);
  const Case c = RandomCase(DType::kQ4_1, true, GateActivation::kSilu, 50, 96, 64, random);
  Case next = RandomCase(DType::kQ8_0, false, GateActivation::kNone, 50, 64, 96, random);
  const Packed packed(c), packed_next(next);
  for (const Build& build : Builds()) {
    const std::vector<float> results = RunUnits(build, c, packed, 1);
    const size_t row_bytes = QuantizedRows::Bf16RowBytes(c.features);
    const Bytes rows(c.rows * row_bytes);
    MatmulArgs args = ArgsOf(c, packed);
    args.out_quantized = rows.data.get();
    args.out_bf16 = true;
    const Bytes scratch(AmxMatmulScratchBytes(args));
    build.run(args, 0, 3, scratch.data.get());
    for (size_t m = 0; m < c.rows; ++m) {
      for (size_t n = 0; n < c.features; ++n) {
        const auto bits = std::bit_cast<uint32_t>(results[m * (c.features + 2) + n]);
        const auto rounded = std::bit_cast<float>((bits + 0x8000) & 0xffff0000);
        const float got = FromBf16(rows.data.get() + m * row_bytes + 2 * n);
        ASSERT_EQ(got, rounded) << build.name << " " << m << " " << n;
        next.x[m * next.x_stride + n] = got;
      }
    }
    // As factors they are what the same numbers are in f32.
    const std::vector<float> want = RunUnits(build, next, packed_next, 2);
    std::vector<float> got(want.size(), kUntouched);
    args = ArgsOf(next, packed_next);
    args.x_f32 = nullptr;
    args.x_quantized = rows.data.get();
    args.x_bf16 = true;
    args.out = got.data();
    const Bytes more(AmxMatmulScratchBytes(args));
    build.run(args, 0, 2, more.data.get());
    EXPECT_EQ(got, want) << build.name;
  }
}

// Of any payload: a full one must not be rounded into a number.
TEST(AmxMatmul, NanReachesTheOutput) {
  std::mt19937 random(8);
  for (const uint32_t bits : {0x7fc00000u, 0x7fffffffu, 0xffffffffu, 0x7f800001u}) {
    Case c = RandomCase(DType::kQ8_0, true, GateActivation::kNone, 3, 32, 64, random);
    QuantizedRows{c.x_quantized.data(), c.cols}.Scales(1)[1] = std::bit_cast<float>(bits);
    Case f = RandomCase(DType::kF16, false, GateActivation::kNone, 3, 32, 64, random);
    f.x[f.x_stride + 40] = std::bit_cast<float>(bits);
    Case w = RandomCase(DType::kF16, false, GateActivation::kNone, 3, 32, 64, random);
    std::memset(w.stored[0].data() + 2 * (64 * 7 + 5), 0xff, 2);
    Case e = RandomCase(DType::kF8E4M3, false, GateActivation::kNone, 3, 32, 64, random);
    e.stored[0][64 * 7 + 5] = static_cast<std::byte>(bits >> 24);
    const Packed packed_c(c), packed_f(f), packed_w(w), packed_e(e);
    for (const Build& build : Builds()) {
      const std::vector<float> of_scale = RunUnits(build, c, packed_c, 1);
      const std::vector<float> of_value = RunUnits(build, f, packed_f, 1);
      const std::vector<float> of_weight = RunUnits(build, w, packed_w, 1);
      const std::vector<float> of_float8 = RunUnits(build, e, packed_e, 1);
      for (size_t m = 0; m < 3; ++m) {
        for (size_t n = 0; n < 32; ++n) {
          EXPECT_EQ(std::isnan(of_scale[m * 34 + n]), m == 1);
          EXPECT_EQ(std::isnan(of_value[m * 34 + n]), m == 1);
          EXPECT_EQ(std::isnan(of_weight[m * 34 + n]), n == 7);
          EXPECT_EQ(std::isnan(of_float8[m * 34 + n]), n == 7);
        }
      }
    }
  }
}

TEST(AmxMatmul, ScratchOfTheLargestStepServesEverySmallerOne) {
  MatmulArgs args{};
  for (const DType dtype : {DType::kQ8_0, DType::kBF16}) {
    for (const GateActivation gate : {GateActivation::kNone, GateActivation::kSilu}) {
      for (const size_t cols : {256, 2048, 4096, 14336, 65536}) {
        args.weights = {nullptr, dtype, 64, cols};
        args.gate = gate;
        size_t before = 0;
        for (size_t rows = 1; rows <= 2100; ++rows) {
          args.rows = rows;
          const size_t bytes = AmxMatmulScratchBytes(args);
          ASSERT_GE(bytes, before) << rows;
          ASSERT_LE(PlanAmxBlocking(args).bytes, bytes) << rows;
          before = bytes;
        }
      }
    }
  }
}

}  // namespace
}  // namespace pelton
