// Rows of a latent cache in floats of 8 bits: their bytes against the definition of the layout and
// of E4M3, and what the attention kernels read from them.
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <limits>

#include "kernels/cpu/test_rows.h"
#include "kernels/ops/attention.h"
#include "kernels/ops/rope.h"

namespace pelton {
namespace {

constexpr float kInfinity = std::numeric_limits<float>::infinity();
constexpr size_t kGroup = 128, kBlockTokens = 4, kLayers = 2, kBlocks = 3;

// What each code below 0x7f, the NaN, is worth. Source: OCP 8-bit floating point v1.0, table 2.
std::vector<double> Magnitudes() {
  std::vector<double> out;
  for (int code = 0; code < 0x7f; ++code) {
    const int exponent = code >> 3, fraction = code & 7;
    out.push_back(exponent == 0 ? std::ldexp(fraction, -9)
                                : std::ldexp(8 + fraction, exponent - 10));
  }
  return out;
}

// The code nearest to x / scale; of two, the even one. Its number is one that f32 has.
uint8_t NearestCode(float x, double scale) {
  static const std::vector<double> magnitudes = Magnitudes();
  const double size = std::abs(static_cast<double>(x)) / scale;
  const auto above = std::lower_bound(magnitudes.begin(), magnitudes.end(), size);
  auto code = static_cast<size_t>(above - magnitudes.begin());
  if (above == magnitudes.end()) {
    code = magnitudes.size() - 1;
  } else if (code > 0) {
    const double up = *above - size, down = size - magnitudes[code - 1];
    if (down < up || (down == up && code % 2 == 1)) --code;
  }
  while (magnitudes[code] * scale > std::numeric_limits<float>::max()) --code;
  return static_cast<uint8_t>(code | (std::signbit(x) ? 0x80 : 0));
}

// Source: FlashMLA's 656-byte rows; scales are powers of two.
double ScaleOf(const float* x) {
  double largest = 1e-4;
  for (size_t i = 0; i < kGroup; ++i) {
    if (!std::isfinite(x[i])) return std::nan("");
    largest = std::max(largest, std::abs(static_cast<double>(x[i])));
  }
  return std::exp2(std::ceil(std::log2(largest / 448)));
}

// By f64: one unit in the last place of bf16 is 2^(e - 7).
uint16_t NearestBf16(float x) {
  uint32_t bits;
  std::memcpy(&bits, &x, sizeof(bits));
  if (!std::isfinite(x)) return static_cast<uint16_t>((bits >> 16) | (std::isnan(x) ? 0x40 : 0));
  const double unit = std::exp2(std::max(std::ilogb(x == 0 ? 1.0f : x), -126) - 7);
  double rounded = std::nearbyint(static_cast<double>(x) / unit) * unit;
  const double largest = std::ldexp(255, 120);
  rounded = std::copysign(std::min(std::abs(rounded), largest), x);
  const auto value = static_cast<float>(rounded);
  std::memcpy(&bits, &value, sizeof(bits));
  EXPECT_EQ(bits & 0xffff, 0u);
  return static_cast<uint16_t>(bits >> 16);
}

// The bytes of a row, put together from the definition alone.
std::vector<uint8_t> RowOf(const std::vector<float>& latent, const std::vector<float>& rest) {
  std::vector<uint8_t> codes, scales, halves;
  const auto append = [](std::vector<uint8_t>& to, const auto& value) {
    const auto* bytes = reinterpret_cast<const uint8_t*>(&value);
    to.insert(to.end(), bytes, bytes + sizeof(value));
  };
  for (size_t g = 0; g < latent.size(); g += kGroup) {
    const double scale = ScaleOf(&latent[g]);
    append(scales, std::isnan(scale) ? 0x7fc00000u : std::bit_cast<uint32_t>(float(scale)));
    for (size_t i = g; i < g + kGroup; ++i) {
      codes.push_back(std::isnan(scale) ? uint8_t{0} : NearestCode(latent[i], scale));
    }
  }
  for (const float x : rest) append(halves, NearestBf16(x));
  codes.insert(codes.end(), scales.begin(), scales.end());
  codes.insert(codes.end(), halves.begin(), halves.end());
  return codes;
}

// A cache of latent rows, and the writing of tokens to it.
struct Cache {
  Cache(size_t latent, size_t rope, size_t index_dim = 0)
      : view{.data = nullptr,
             .dtype = KvDType::kFp8,
             .num_blocks = kBlocks,
             .layers = kLayers,
             .kv_heads = 1,
             .head_dim = latent + rope,
             .block_tokens = kBlockTokens,
             .value_dim = latent,
             .index_dim = index_dim},
        bytes(kBlocks * view.BlockBytes()) {
    view.data = bytes.data();
  }
  const std::byte* Row(int32_t slot) const {
    const auto at = static_cast<size_t>(slot);
    return view.K(at / kBlockTokens, 1, 0) + at % kBlockTokens * view.RowBytes();
  }
  void Write(const OpImpl<KvWriteArgs>& impl, const std::vector<std::vector<float>>& latents,
             const std::vector<std::vector<float>>& rests, const std::vector<int32_t>& slots) {
    const size_t k_stride = view.value_dim + 1, v_stride = view.head_dim - view.value_dim + 3;
    std::vector<float> k(slots.size() * k_stride, -1e30f), v(slots.size() * v_stride, 1e30f);
    for (size_t t = 0; t < slots.size(); ++t) {
      std::copy(latents[t].begin(), latents[t].end(), &k[t * k_stride]);
      std::copy(rests[t].begin(), rests[t].end(), &v[t * v_stride]);
    }
    RunSplit(impl,
             KvWriteArgs{.k = k.data(),
                         .v = v.data(),
                         .k_stride = k_stride,
                         .v_stride = v_stride,
                         .tokens = slots.size(),
                         .cache = view,
                         .layer = 1,
                         .slots = slots.data()},
             slots.size());
  }

  KvCacheView view;
  AlignedBytes bytes;
};

TEST(Fp8CacheTest, ARowOfDeepSeekTakes656Bytes) {
  EXPECT_EQ(Cache(512, 64).view.RowBytes(), 656u);
  EXPECT_EQ(Cache(512, 64).view.BlockBytes(), kLayers * kBlockTokens * 656u);
  EXPECT_EQ(Cache(128, 16).view.RowBytes(), 128u + 4 + 32);
  // An indexer's keys are f16 beside them.
  EXPECT_EQ(Cache(512, 64, 128).view.LayerBytes(), kBlockTokens * (656u + 256));
}

// Bytes written out by hand.
TEST(Fp8CacheTest, AKnownRowHasKnownBytes) {
  std::vector<float> latent(128, 0.0f), rest = {1.0f, -2.5f, 0.1f, 0.0f};
  // 448 is the largest with scale 1. 1.0625 and 1.1875 are ties; -17 is one of 16 and 18.
  const float values[] = {448, 1,       -1,      1.0625f,    1.1875f,
                          -17, 0x1p-6f, 0x1p-9f, 0x1.8p-10f, 0x1p-10f};
  const uint8_t codes[] = {0x7e, 0x38, 0xb8, 0x38, 0x3a, 0xd8, 0x08, 0x01, 0x01, 0x00};
  std::copy(std::begin(values), std::end(values), latent.begin());
  std::vector<uint8_t> want(128, 0);
  std::copy(std::begin(codes), std::end(codes), want.begin());
  for (const uint8_t byte : {0x00, 0x00, 0x80, 0x3f,                             // 1.0
                             0x80, 0x3f, 0x20, 0xc0, 0xcd, 0x3d, 0x00, 0x00}) {  // bf16
    want.push_back(byte);
  }
  ForEachImpl(KvWriteImpls(), [&](const OpImpl<KvWriteArgs>& impl) {
    Cache cache(128, 4);
    cache.Write(impl, {latent}, {rest}, {5});
    const auto* row = reinterpret_cast<const uint8_t*>(cache.Row(5));
    EXPECT_EQ(std::vector<uint8_t>(row, row + want.size()), want);
    EXPECT_EQ(RowOf(latent, rest), want) << "the other tests' expectation";
  });
}

// Groups of all sizes, ties, zeros and what is no number.
std::vector<std::vector<float>> HardLatents(std::mt19937& rng, size_t cols) {
  std::vector<std::vector<float>> out;
  for (const float size : {1.0f, 1e-3f, 1e-5f, 1e-30f, 1e20f, 3e38f}) {
    std::uniform_real_distribution<float> uniform(-1, 1);
    std::vector<float> row(cols);
    for (float& x : row) x = size * uniform(rng);
    out.push_back(row);
  }
  // Every code of a group's scale, the midpoints between codes, and their neighbours.
  const std::vector<double> magnitudes = Magnitudes();
  std::vector<float> edges;
  for (size_t i = 0; i + 1 < magnitudes.size(); ++i) {
    const auto code = static_cast<float>(magnitudes[i]);
    const auto middle = static_cast<float>((magnitudes[i] + magnitudes[i + 1]) / 2);
    for (const float x : {code, middle, std::nextafter(middle, 0.0f), std::nextafter(middle, 1e9f)})
      edges.push_back(i % 2 == 0 ? x : -x);
  }
  for (size_t first = 0; first < edges.size();) {
    for (const float scale : {1.0f, 0x1p-20f, 0x1p100f}) {
      std::vector<float> row(cols, 0.0f);
      for (size_t g = 0; g < cols; g += kGroup) {
        row[g] = 448 * scale;
        for (size_t i = 1; i < kGroup && first + i - 1 < edges.size(); ++i) {
          row[g + i] = scale * edges[first + i - 1];
        }
      }
      out.push_back(row);
    }
    first += kGroup - 1;
  }
  // Largest values beside powers of two times 448, where another scale begins.
  for (const float largest :
       {448.0f, std::nextafter(448.0f, 0.0f), std::nextafter(448.0f, 1e9f), 0x1.cp-20f, 1e-4f,
        1e-8f, std::numeric_limits<float>::max(), 0x1.dp127f, 0x1.ep127f, 0x1p127f, 0.0f}) {
    std::vector<float> row(cols, largest / 3);
    row[7] = -largest;
    row[8] = -0.0f;
    out.push_back(row);
  }
  for (const float special : {kInfinity, -kInfinity, std::nanf("")}) {
    std::vector<float> row(cols, 1.5f);
    row[cols - 1] = special;  // the other groups stay numbers
    out.push_back(row);
  }
  return out;
}

TEST(Fp8CacheTest, EveryImplWritesTheBytesOfTheDefinitionAndNoOthers) {
  for (const auto& [cols, rope] : {std::pair<size_t, size_t>(512, 64), {128, 16}, {384, 3}}) {
    SCOPED_TRACE(cols);
    std::mt19937 rng(3);
    const std::vector<std::vector<float>> latents = HardLatents(rng, cols);
    std::vector<std::vector<float>> rests;
    rests.reserve(latents.size());
    for (size_t t = 0; t < latents.size(); ++t) rests.push_back(RandomValues(rng, rope));
    const float odd[] = {std::nanf(""), kInfinity, -std::numeric_limits<float>::max(),
                         0x1.01p0f,     0x1.03p0f, 1e-40f,
                         -0.0f};
    for (size_t t = 0; t < std::size(odd); ++t) rests[t][t % rope] = odd[t];
    ForEachImpl(KvWriteImpls(), [&](const OpImpl<KvWriteArgs>& impl) {
      for (size_t t = 0; t + 3 <= latents.size(); ++t) {
        SCOPED_TRACE(t);
        Cache cache(cols, rope);
        const std::vector<int32_t> slots = {11, 0, 6};
        cache.Write(impl, {latents[t], latents[t + 1], latents[t + 2]},
                    {rests[t], rests[t + 1], rests[t + 2]}, slots);
        std::vector<uint8_t> want(cache.bytes.size(), 0xa5);
        for (size_t i = 0; i < slots.size(); ++i) {
          const std::vector<uint8_t> row = RowOf(latents[t + i], rests[t + i]);
          ASSERT_EQ(row.size(), cache.view.RowBytes());
          std::copy(row.begin(), row.end(),
                    want.begin() + (cache.Row(slots[i]) - cache.bytes.data()));
        }
        const auto* got = reinterpret_cast<const uint8_t*>(cache.bytes.data());
        for (size_t i = 0; i < want.size(); ++i) ASSERT_EQ(got[i], want[i]) << "byte " << i;
      }
    });
  }
}

// Puts a row of given bytes into a cache of one block and reads its elements: as keys, by queries
// that pick one each, and as values.
template <typename Check>
void ReadRow(const std::vector<uint8_t>& row, size_t latent, size_t rope, const Check& check) {
  Cache cache(latent, rope);
  std::memcpy(const_cast<std::byte*>(cache.Row(0)), row.data(), row.size());
  const int32_t table[] = {0};
  const SequenceSpan span{0, 1, 1, table};
  for (size_t i = 0; i < KvMixImpls().size(); ++i) {
    if ((KvMixImpls()[i].required_features & ~DetectedCpuFeatures()) != 0) continue;
    SCOPED_TRACE(KvMixImpls()[i].name);
    const float one = 1;
    std::vector<float> values(latent), q(latent * latent), q_rope(latent * rope), keys(latent);
    RunSplit(KvMixImpls()[i],
             KvMixArgs{.weights = &one,
                       .weights_stride = 1,
                       .out = values.data(),
                       .out_stride = latent,
                       .heads = 1,
                       .cache = cache.view,
                       .layer = 1,
                       .sequences = &span,
                       .num_sequences = 1},
             1);
    for (size_t d = 0; d < latent; ++d) check(d, values[d]);
    // Head h picks element h, those of rotary lanes by another call.
    for (const bool of_rope : {false, true}) {
      std::fill(q.begin(), q.end(), 0.0f);
      std::fill(q_rope.begin(), q_rope.end(), 0.0f);
      const size_t heads = of_rope ? rope : latent;
      for (size_t h = 0; h < heads; ++h) {
        (of_rope ? q_rope[h * rope + h] : q[h * latent + h]) = 1;
      }
      RunSplit(KvScoresImpls()[i],
               KvScoresArgs{.q = q.data(),
                            .q_stride = latent * latent,
                            .scores = keys.data(),
                            .scores_stride = 1,
                            .heads = heads,
                            .cache = cache.view,
                            .layer = 1,
                            .sequences = &span,
                            .num_sequences = 1,
                            .q_rope = q_rope.data(),
                            .q_rope_stride = latent * rope},
               heads);
      for (size_t h = 0; h < heads; ++h) check(of_rope ? latent + h : h, keys[h]);
    }
  }
}

TEST(Fp8CacheTest, EveryCodeIsReadAsItsNumber) {
  const std::vector<double> magnitudes = Magnitudes();
  for (const float scale : {1.0f, 0x1p-22f, 0x1p-7f, 0x1p50f}) {
    SCOPED_TRACE(scale);
    std::vector<uint8_t> row;
    std::vector<double> want;
    for (int code = 0; code < 256; ++code) {
      const int number = code & 0x7f;
      row.push_back(static_cast<uint8_t>(number == 0x7f ? code - 1 : code));
      const double magnitude = magnitudes[static_cast<size_t>(std::min(number, 0x7e))];
      want.push_back((code >= 0x80 ? -magnitude : magnitude) * scale);
    }
    for (int g = 0; g < 2; ++g) {
      const auto* bytes = reinterpret_cast<const uint8_t*>(&scale);
      row.insert(row.end(), bytes, bytes + sizeof(scale));
    }
    for (const uint16_t half : {0x3f80, 0xc049, 0x0001, 0x7f7f}) {
      row.push_back(static_cast<uint8_t>(half & 0xff));
      row.push_back(static_cast<uint8_t>(half >> 8));
      want.push_back(std::bit_cast<float>(uint32_t{half} << 16));
    }
    ReadRow(row, 256, 4, [&](size_t d, float got) {
      ASSERT_EQ(static_cast<double>(got), want[d]) << "element " << d;
    });
  }
}

TEST(Fp8CacheTest, WhatIsNoNumberMakesItsGroupNan) {
  std::vector<float> latent(256, 2.0f);
  latent[200] = kInfinity;
  ReadRow(RowOf(latent, {1, 1, 1, 1}), 256, 4, [&](size_t d, float got) {
    // As keys, every score has the NaN in it; as values, those of the group.
    if (d >= 128 && d < 256) {
      ASSERT_TRUE(std::isnan(got)) << d;
    }
  });
}

TEST(Fp8CacheTest, ARowThatNobodyWroteIsZero) {
  const size_t bytes = Cache(128, 4).view.RowBytes();
  ReadRow(std::vector<uint8_t>(bytes), 128, 4,
          [&](size_t d, float got) { ASSERT_EQ(got, 0.0f) << d; });
}

}  // namespace
}  // namespace pelton
