#include "kernels/ops/matmul.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <cstring>
#include <random>
#include <string>
#include <string_view>
#include <vector>

#include "base/cpu_features.h"
#include "kernels/cpu/matmul_entry.h"
#include "kernels/reference/matmul.h"
#include "kernels/reference/matmul_case.h"

namespace pelton {
namespace {

constexpr std::string_view kTiles = "amx_int8";

constexpr DType kWeightTypes[] = {
    DType::kF32,  DType::kF16,  DType::kBF16,   DType::kQ4_0,   DType::kQ4_1, DType::kQ5_0,
    DType::kQ5_1, DType::kQ8_0, DType::kIQ4_NL, DType::kMXFP4,  DType::kQ2_K, DType::kQ3_K,
    DType::kQ4_K, DType::kQ5_K, DType::kQ6_K,   DType::kF8E4M3, DType::kW8};

// Those of the table, and the one on tiles also on emulated ones.
std::vector<MatmulImpl> AllImpls() {
  std::vector<MatmulImpl> impls(MatmulImpls().begin(), MatmulImpls().end());
  const auto tiles =
      std::ranges::find_if(impls, [](const MatmulImpl& impl) { return impl.name == kTiles; });
  MatmulImpl emulated = *tiles;
  emulated.name = "amx_int8 emulated";
  emulated.required_features = kCpuGeneric;
  emulated.run = cpu::amx_emulated::RunMatmul;
  impls.insert(impls.begin(), emulated);
  emulated.name = "amx_int8 emulated with avx512";
  emulated.required_features = kCpuAvx512 | kCpuAvx512Vnni;
  emulated.run = cpu::amx_emulated_avx512::RunMatmul;
  impls.insert(impls.begin(), emulated);
  return impls;
}

std::vector<const MatmulImpl*> RunnableImpls() {
  static const std::vector<MatmulImpl> all = AllImpls();
  std::vector<const MatmulImpl*> impls;
  for (const MatmulImpl& impl : all) {
    if (!impl.invariant) continue;  // of lower accuracy; matmul_amx_test.cc
    if ((impl.required_features & ~DetectedCpuFeatures()) == 0) impls.push_back(&impl);
  }
  return impls;
}

std::string Describe(const MatmulImpl& impl, const MatmulShape& shape) {
  std::string text = std::string(impl.name) + " " + std::string(DTypeName(shape.dtype));
  text += shape.quantized_x ? " x8" : " xf";
  text += " M=" + std::to_string(shape.rows) + " N=" + std::to_string(shape.columns) +
          " K=" + std::to_string(shape.cols) + " gate=" + std::to_string(int(shape.gate));
  if (shape.bias) text += " bias";
  if (shape.residual) text += " residual";
  if (shape.quantized_out) text += " out8";
  return text;
}

std::vector<float> AsFloats(const std::vector<std::byte>& bytes) {
  std::vector<float> out(bytes.size() / sizeof(float));
  std::memcpy(out.data(), bytes.data(), bytes.size());
  return out;
}

// Roundings of one term on its way into a sum; the worst case.
double Roundings(const MatmulShape& shape) {
  const double blocks = static_cast<double>(DivUp(shape.cols, kBlockCols));
  return 10.0 + (shape.quantized_x ? 8.0 * blocks + 1.0 : static_cast<double>(shape.cols));
}

double Tolerance(const MatmulShape& shape, double magnitude, double value) {
  return 0x1p-24 * (Roundings(shape) * magnitude + 8.0 * std::fabs(value)) + 1e-30;
}

// The worst error in units of the tolerance; infinite where a value is NaN.
double WorstError(const MatmulShape& shape, const std::vector<float>& got,
                  const ReferenceMatmulResult& want) {
  double worst = got.size() == want.out.size() ? 0.0 : INFINITY;
  for (size_t i = 0; i < got.size(); ++i) {
    const double error =
        std::fabs(got[i] - want.out[i]) / Tolerance(shape, want.magnitude[i], want.out[i]);
    worst = error <= worst ? worst : std::isnan(error) ? INFINITY : error;
  }
  return worst;
}

bool Available(const MatmulImpl& impl, const MatmulShape& shape) {
  return impl.supports(shape.quantized_x, shape.dtype);
}

std::vector<size_t> ColsFor(DType dtype) {
  if (PanelFormatOf(dtype)->super) return {256, 512, 768};
  if (PanelFormatOf(dtype)->scaled) return {1, 31, 33, 128, 129, 300};
  if (PanelFormatOf(dtype)->code_bits != 0) return {32, 96, 128, 160, 576};
  return {1, 2, 31, 33, 257};
}

TEST(Matmul, MatchesTheReference) {
  size_t cases = 0;
  uint64_t seed = 1;
  for (const DType dtype : kWeightTypes) {
    for (const bool quantized_x : {false, true}) {
      if (quantized_x && PanelFormatOf(dtype)->code_bits == 0) continue;
      for (const size_t rows : {1, 2, 3, 5, 8, 17, 40}) {
        for (const size_t cols : ColsFor(dtype)) {
          const size_t columns = std::vector<size_t>{1, 15, 16, 17, 31, 32, 33, 65}[seed % 8];
          MatmulShape shape = {.dtype = dtype,
                               .quantized_x = quantized_x,
                               .rows = rows,
                               .columns = columns,
                               .cols = cols};
          shape.bias = seed % 3 == 1;
          shape.residual = seed % 5 < 2;
          if (seed % 4 == 3) shape.activation = MatmulActivation::kGeluErf;
          MatmulCase data(shape, seed++);
          const ReferenceMatmulResult want = ReferenceMatmul(data.Args());
          for (const MatmulImpl* impl : RunnableImpls()) {
            if (!Available(*impl, shape)) continue;
            ++cases;
            EXPECT_LE(WorstError(shape, AsFloats(data.Run(*impl, data.Args())), want), 1.0)
                << Describe(*impl, shape);
          }
        }
      }
    }
  }
  EXPECT_GE(cases, 500u);
}

TEST(Matmul, GatedMatchesTheReference) {
  uint64_t seed = 1000;
  for (const DType dtype : kWeightTypes) {
    const bool scalar = PanelFormatOf(dtype)->code_bits == 0;
    for (const GateActivation gate :
         {GateActivation::kSilu, GateActivation::kGeluTanh, GateActivation::kSwigluOai}) {
      for (const size_t rows : {1, 4, 17}) {
        for (const size_t columns : {16, 33, 64}) {
          const MatmulShape shape = {.dtype = dtype,
                                     .quantized_x = !scalar && seed % 3 != 0,
                                     .rows = rows,
                                     .columns = columns,
                                     .cols = 256,
                                     .gate = gate,
                                     .gate_limit = seed % 3 == 1 ? 1.5f : 0.0f,
                                     .bias = seed % 2 == 0};
          MatmulCase data(shape, seed++);
          const ReferenceMatmulResult want = ReferenceMatmul(data.Args());
          for (const MatmulImpl* impl : RunnableImpls()) {
            if (!Available(*impl, shape)) continue;
            EXPECT_LE(WorstError(shape, AsFloats(data.Run(*impl, data.Args())), want), 1.0)
                << Describe(*impl, shape);
          }
        }
      }
    }
  }
}

// The quantised output is the f32 output of the same call, quantised by the contract of
// QuantizedRows.
TEST(Matmul, QuantisedOutputIsTheQuantisedFloatOutput) {
  uint64_t seed = 2000;
  for (const DType dtype : kWeightTypes) {
    const bool scalar = PanelFormatOf(dtype)->code_bits == 0;
    for (const GateActivation gate : {GateActivation::kNone, GateActivation::kSilu}) {
      for (const size_t rows : {1, 5, 17}) {
        MatmulShape shape = {.dtype = dtype,
                             .quantized_x = !scalar,
                             .rows = rows,
                             .columns = 96,
                             .cols = 256,
                             .gate = gate};
        shape.bias = shape.residual = gate == GateActivation::kNone;
        MatmulCase floats(shape, seed);
        shape.quantized_out = true;
        MatmulCase quantized(shape, seed++);
        for (const MatmulImpl* impl : RunnableImpls()) {
          if (!Available(*impl, shape)) continue;
          const std::vector<float> y = AsFloats(floats.Run(*impl, floats.Args()));
          std::vector<std::byte> bytes = quantized.Run(*impl, quantized.Args());
          const QuantizedRows out = {bytes.data(), shape.columns};
          for (size_t m = 0; m < rows; ++m) {
            for (size_t b = 0; b < shape.columns / 32; ++b) {
              float largest = 0.0f, scale;
              int32_t sum = 0, stored_sum;
              std::memcpy(&scale, out.Scales(m) + b, sizeof(scale));
              std::memcpy(&stored_sum, out.Sums(m) + b, sizeof(stored_sum));
              for (size_t n = b * 32; n < (b + 1) * 32; ++n) {
                const float value = y[m * shape.columns + n];
                largest = std::max(largest, std::fabs(value));
                sum += out.Values(m)[n];
                EXPECT_LE(std::fabs(value - double{scale} * out.Values(m)[n]), 0.50001 * scale)
                    << Describe(*impl, shape);
              }
              EXPECT_EQ(scale, largest / 127.0f);
              EXPECT_EQ(sum, stored_sum);
            }
          }
        }
      }
    }
  }
}

// One order of operations: every implementation that calls itself invariant gives the same bits,
// for either kind of activations. Only the gates' exponential has no fused multiply-add without
// AVX2.
TEST(Matmul, InvariantImplementationsAgreeBitForBit) {
  uint64_t seed = 3000;
  for (const DType dtype : kWeightTypes) {
    for (const bool quantized_x : {false, true}) {
      if (quantized_x && PanelFormatOf(dtype)->code_bits == 0) continue;
      for (const size_t rows : {1, 3, 7, 20, 33}) {
        for (const GateActivation gate : {GateActivation::kNone, GateActivation::kGeluTanh}) {
          MatmulShape shape = {.dtype = dtype,
                               .quantized_x = quantized_x,
                               .rows = rows,
                               .columns = 64,
                               .cols = 768,
                               .gate = gate};
          shape.quantized_out = seed % 2 == 0;
          MatmulCase data(shape, seed++);
          std::vector<std::byte> first;
          for (const MatmulImpl* impl : RunnableImpls()) {
            if (!Available(*impl, shape) || !impl->invariant) continue;
            if (gate != GateActivation::kNone && impl->required_features == 0) continue;
            const std::vector<std::byte> out = data.Run(*impl, data.Args());
            if (first.empty()) first = out;
            // The padding of quantised rows is not compared: nobody writes it.
            EXPECT_TRUE(out == first) << Describe(*impl, shape);
          }
        }
      }
    }
  }
}

// The bits of a row are those of the row alone, in any number of rows and any split of the units.
TEST(Matmul, RowsDoNotDependOnTheirCompanyOrTheSplit) {
  uint64_t seed = 4000;
  for (const DType dtype : kWeightTypes) {
    for (const bool quantized_x : {false, true}) {
      if (quantized_x && PanelFormatOf(dtype)->code_bits == 0) continue;
      const MatmulShape shape = {
          .dtype = dtype, .quantized_x = quantized_x, .rows = 43, .columns = 100, .cols = 768};
      MatmulCase data(shape, seed++);
      for (const MatmulImpl* impl : RunnableImpls()) {
        if (!Available(*impl, shape) || !impl->invariant) continue;
        const std::vector<std::byte> all = data.Run(*impl, data.Args());
        EXPECT_TRUE(all == data.Run(*impl, data.Args(), {1, 1, 3})) << Describe(*impl, shape);
        const size_t row_bytes = shape.columns * sizeof(float);
        for (const size_t count : {1, 2, 4, 6, 7, 8, 9, 12, 13, 16, 25}) {
          const size_t first = seed * 7 % (shape.rows - count);
          const std::vector<std::byte> some = data.Run(*impl, data.ArgsOfRows(first, count), {2});
          EXPECT_EQ(std::memcmp(some.data(), all.data() + first * row_bytes, some.size()), 0)
              << Describe(*impl, shape) << " rows " << first << " + " << count;
        }
      }
    }
  }
}

// Where the f16 numbers of a stored block are, so that a test can keep them finite.
std::vector<size_t> HalfOffsets(DType dtype) {
  switch (dtype) {
    case DType::kQ4_1:
    case DType::kQ5_1:
    case DType::kQ4_K:
    case DType::kQ5_K:
      return {0, 2};
    case DType::kQ2_K:
      return {80, 82};
    case DType::kQ3_K:
      return {108};
    case DType::kQ6_K:
      return {208};
    default:
      return {0};
  }
}

std::vector<std::byte> RandomStoredRows(DType dtype, size_t rows, size_t cols, uint32_t seed) {
  std::mt19937 random(seed);
  const size_t bytes = rows * *RowBytes(dtype, cols);
  std::vector<std::byte> stored(bytes);
  for (std::byte& b : stored) b = static_cast<std::byte>(random());
  const bool f32 = dtype == DType::kF32;
  const size_t step = f32                                             ? 4
                      : dtype == DType::kF16 || dtype == DType::kBF16 ? 2
                                                                      : BlockBytes(dtype);
  if (dtype == DType::kF8E4M3) {
    for (std::byte& code : stored) code &= std::byte{0xbf};
    return stored;
  }
  for (size_t at = 0; at < bytes; at += step) {
    for (const size_t offset : HalfOffsets(dtype)) {
      // The top exponent bit off: finite, and below 2 in every float format.
      std::byte& top = stored[at + offset + (f32 ? 3 : 1)];
      top &= std::byte{0xbf};
    }
    if (dtype == DType::kMXFP4) stored[at] &= std::byte{0x7f};  // powers of two up to 1
  }
  return stored;
}

std::vector<float> RandomScales(size_t count) {
  std::mt19937 random(17);
  std::uniform_real_distribution<float> between(1e-4f, 1e-2f);
  std::vector<float> scales(count);
  for (float& scale : scales) scale = between(random);
  return scales;
}

// From stored rows to outputs: packed by PackPanels, bit for bit the sum of the contract over the
// rows as DecodeRow gives them.
TEST(Matmul, StoredRowsMultiplyInTheOrderOfTheContract) {
  for (const DType dtype : kWeightTypes) {
    if (!IsStoredFormat(dtype)) continue;
    for (const bool gated : {false, true}) {
      const size_t columns = 37, cols = 256 * 3, rows = 5;
      std::vector<std::byte> stored[2];
      // Of blocks of 10 rows.
      const std::vector<float> scale_values = RandomScales(4 * cols / kScaledCols);
      BlockScales scales;
      if (dtype == DType::kF8E4M3) {
        scales = {reinterpret_cast<const std::byte*>(scale_values.data()), DType::kF32, 10};
      }
      std::vector<PackSource> sources;
      for (uint32_t i = 0; i < (gated ? 2u : 1u); ++i) {
        stored[i] = RandomStoredRows(dtype, columns, cols, 9000 + i);
        sources.push_back({stored[i].data(), columns, *RowBytes(dtype, cols), scales});
      }
      PackArgs pack = {dtype, sources, cols, gated, nullptr};
      AlignedBytes packed(PackPanelCount(pack) * *PanelBytes(dtype, cols));
      pack.out = packed.data();
      PackPanels(pack, 0, PackPanelCount(pack));

      MatmulCase data({.dtype = dtype,
                       .quantized_x = false,
                       .rows = rows,
                       .columns = columns,
                       .cols = cols,
                       .gate = gated ? GateActivation::kSilu : GateActivation::kNone},
                      9100);
      MatmulArgs args = data.Args();
      args.weights.data = packed.data();
      std::vector<float> want(rows * columns * sources.size());
      std::vector<float> w(cols);
      for (size_t n = 0; n < columns; ++n) {
        for (size_t i = 0; i < sources.size(); ++i) {
          DecodeRow(dtype, stored[i].data() + n * sources[i].row_bytes, cols, w.data());
          ScaleRow(scales, n, cols, w.data());
          for (size_t m = 0; m < rows; ++m) {
            float acc = 0.0f;
            for (size_t k = 0; k < cols; ++k) {
              acc = std::fma(w[k], args.x_f32[m * args.x_stride + k], acc);
            }
            want[(i * rows + m) * columns + n] = acc;
          }
        }
      }
      for (const MatmulImpl* impl : RunnableImpls()) {
        if (!impl->supports(false, dtype)) continue;
        const std::vector<float> got = AsFloats(data.Run(*impl, args));
        for (size_t i = 0; i < got.size(); ++i) {
          if (gated) {
            const double gate = want[i];
            const double value = gate / (1.0 + std::exp(-gate)) * want[i + rows * columns];
            EXPECT_NEAR(got[i], value, 1e-6 * std::fabs(value) + 1e-30) << impl->name;
          } else {
            EXPECT_EQ(got[i], want[i]) << impl->name << " " << DTypeName(dtype);
          }
        }
      }
    }
  }
}

// Every code of E4M3, subnormals included, by its definition; NaN reaches its column only.
TEST(Matmul, EveryFloatOf8BitsIsExact) {
  const size_t columns = 2, cols = 256;
  std::vector<std::byte> stored(columns * cols);
  for (size_t k = 0; k < cols; ++k) {
    stored[k] = static_cast<std::byte>(k % 128 == 127 ? 0 : k);
    stored[cols + k] = static_cast<std::byte>(k);
  }
  const std::vector<float> scale_values = {0x1p-20f, 3.0f};
  const PackSource source = {
      stored.data(), columns, cols, {reinterpret_cast<const std::byte*>(scale_values.data())}};
  PackArgs pack = {DType::kF8E4M3, {&source, 1}, cols, false, nullptr};
  AlignedBytes packed(*PackedBytes(DType::kF8E4M3, columns, cols));
  pack.out = packed.data();
  PackPanels(pack, 0, PackPanelCount(pack));
  for (const size_t rows : {size_t{1}, size_t{2}, cols}) {
    MatmulCase data({.dtype = DType::kF8E4M3,
                     .quantized_x = false,
                     .rows = rows,
                     .columns = columns,
                     .cols = cols},
                    9200);
    MatmulArgs args = data.Args();
    args.weights.data = packed.data();
    for (size_t first = 0; first < cols; first += rows) {
      auto* x = reinterpret_cast<float*>(data.activations().data());
      for (size_t m = 0; m < rows; ++m) {
        for (size_t k = 0; k < cols; ++k) x[m * args.x_stride + k] = k == first + m ? 1.0f : 0.0f;
      }
      for (const MatmulImpl* impl : RunnableImpls()) {
        if (!impl->supports(false, DType::kF8E4M3)) continue;
        const std::vector<float> got = AsFloats(data.Run(*impl, args));
        for (size_t m = 0; m < rows; ++m) {
          const auto code = static_cast<int>((first + m) % 128);
          double value = code < 8 ? std::ldexp(code, -9) : std::ldexp(8 + code % 8, code / 8 - 10);
          if (code == 127) value = 0;
          value *= scale_values[(first + m) / 128] * (first + m < 128 ? 1 : -1);
          ASSERT_EQ(got[m * columns], value) << impl->name << " " << first + m;
          ASSERT_TRUE(std::isnan(got[m * columns + 1])) << impl->name;
        }
      }
    }
  }
}

// More rows than one block of rows, which a sweep over the weights serves.
TEST(Matmul, ManyRowsAreSweptInBlocks) {
  for (const int kind : {0, 1, 2, 3}) {
    const bool quantized_x = kind % 2 != 0;
    const MatmulShape shape = {.dtype = kind < 2 ? DType::kQ4_0 : DType::kW8,
                               .quantized_x = quantized_x,
                               .rows = 401,
                               .columns = 33,
                               .cols = 96};
    MatmulCase data(shape, 5000);
    const ReferenceMatmulResult want = ReferenceMatmul(data.Args());
    for (const MatmulImpl* impl : RunnableImpls()) {
      if (!Available(*impl, shape)) continue;
      EXPECT_LE(WorstError(shape, AsFloats(data.Run(*impl, data.Args())), want), 1.0)
          << Describe(*impl, shape);
    }
  }
}

// Activations at the ends of their range against codes at theirs: sums of 16 bits would overflow.
TEST(Matmul, ExtremeCodesAndActivationsAreExact) {
  for (const DType dtype : kWeightTypes) {
    if (PanelFormatOf(dtype)->code_bits == 0) continue;
    for (const uint8_t code : {0x00, 0x7f, 0x80, 0xff}) {
      MatmulShape shape = {.dtype = dtype, .rows = 2, .columns = 32, .cols = 256};
      MatmulCase data(shape, 6000);
      const size_t panel_bytes = *PanelBytes(dtype, shape.cols);
      // Only codes end in 0x... patterns that are all equal: keep the headers, set the codes.
      const PanelFormat format = *PanelFormatOf(dtype);
      const size_t code_bytes = 64 * static_cast<size_t>(format.code_bits);
      for (size_t panel = 0; panel < 2; ++panel) {
        std::byte* at = data.weights().data() + panel * panel_bytes;
        const size_t groups = format.super || format.by_row ? 1 : 2,
                     group_bytes = panel_bytes / groups;
        const size_t codes = 8 / groups * code_bytes;
        for (size_t g = 0; g < groups; ++g) {
          std::memset(at + (g + 1) * group_bytes - codes, code, codes);
        }
      }
      const QuantizedRows x = {data.activations().data(), shape.cols};
      for (size_t m = 0; m < 2; ++m) {
        for (size_t k = 0; k < shape.cols; ++k) x.Values(m)[k] = m == 0 ? 127 : -127;
        for (size_t b = 0; b < shape.cols / 32; ++b) x.Sums(m)[b] = (m == 0 ? 127 : -127) * 32;
      }
      const ReferenceMatmulResult want = ReferenceMatmul(data.Args());
      for (const MatmulImpl* impl : RunnableImpls()) {
        if (!Available(*impl, shape)) continue;
        EXPECT_LE(WorstError(shape, AsFloats(data.Run(*impl, data.Args())), want), 1.0)
            << Describe(*impl, shape) << " code " << int{code};
      }
    }
  }
}

TEST(Matmul, NanAndInfinityReachTheOutput) {
  for (const int kind : {0, 1, 2, 3}) {
    const bool quantized_out = kind % 2 != 0;
    const MatmulShape shape = {.dtype = kind < 2 ? DType::kQ8_0 : DType::kW8,
                               .rows = 3,
                               .columns = 32,
                               .cols = 64,
                               .quantized_out = quantized_out};
    MatmulCase data(shape, 7000);
    QuantizedRows x = {data.activations().data(), shape.cols};
    x.Scales(1)[0] = NAN;
    for (const MatmulImpl* impl : RunnableImpls()) {
      if (!Available(*impl, shape)) continue;
      std::vector<std::byte> out = data.Run(*impl, data.Args());
      if (quantized_out) {
        const QuantizedRows rows = {out.data(), shape.columns};
        for (size_t m = 0; m < 3; ++m) {
          float scale;
          std::memcpy(&scale, rows.Scales(m), sizeof(scale));
          EXPECT_EQ(std::isnan(scale), m == 1) << impl->name;
        }
      } else {
        for (size_t i = 0; i < 96; ++i) {
          EXPECT_EQ(std::isnan(AsFloats(out)[i]), i / 32 == 1) << impl->name;
        }
      }
    }
  }
}

TEST(Matmul, ResidualMayBeTheOutput) {
  const MatmulShape shape = {.dtype = DType::kQ4_1, .rows = 9, .columns = 40, .cols = 96};
  MatmulCase data(shape, 8000);
  for (const MatmulImpl* impl : RunnableImpls()) {
    const std::vector<float> plain = AsFloats(data.Run(*impl, data.Args()));
    std::vector<float> out(shape.rows * shape.columns);
    for (size_t i = 0; i < out.size(); ++i) out[i] = static_cast<float>(i) - 100.0f;
    std::vector<float> want = out;
    for (size_t i = 0; i < out.size(); ++i) want[i] = plain[i] + want[i];
    MatmulArgs args = data.Args();
    args.out = out.data();
    args.out_stride = shape.columns;
    args.residual = out.data();
    args.residual_stride = shape.columns;
    AlignedBytes scratch(impl->scratch_bytes(args));
    impl->run(args, 0, MatmulUnits(args), scratch.data());
    EXPECT_EQ(out, want) << impl->name;
  }
}

TEST(Matmul, ChoosesWhatTheCallAllows) {
  MatmulCase data({.dtype = DType::kQ8_0, .rows = 1, .columns = 32, .cols = 32}, 1);
  for (const MatmulRows rows : {MatmulRows::kAny, MatmulRows::kGenerated, MatmulRows::kPrompt}) {
    const MatmulImpl& impl = ChooseMatmul(data.Args(), rows);
    EXPECT_EQ(impl.required_features & ~CpuFeatures(), 0u);
    EXPECT_TRUE(impl.invariant || rows != MatmulRows::kGenerated);
    EXPECT_TRUE(impl.supports(true, DType::kQ8_0));
  }
  EXPECT_EQ(MatmulImpls().back().required_features, 0u);
  for (const MatmulImpl& impl : MatmulImpls()) {
    EXPECT_FALSE(impl.supports(true, DType::kF32)) << impl.name;
    EXPECT_FALSE(impl.supports(false, DType::kI32)) << impl.name;
  }
}

}  // namespace
}  // namespace pelton
