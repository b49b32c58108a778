#include "kernels/ops/rope.h"

#include <gtest/gtest.h>

#include <limits>

#include "kernels/cpu/test_rows.h"
#include "kernels/reference/half.h"
#include "kernels/reference/rows.h"

namespace pelton {
namespace {

constexpr size_t kTokens = 3;

std::vector<float> RandomTable(std::mt19937& rng, size_t half) {
  std::vector<float> table(kTokens * 2 * half);
  std::uniform_real_distribution<float> angle(-7, 7);
  for (size_t t = 0; t < kTokens; ++t) {
    for (size_t i = 0; i < half; ++i) {
      const float a = angle(rng);
      table[t * 2 * half + i] = std::cos(a);
      table[t * 2 * half + half + i] = std::sin(a);
    }
  }
  return table;
}

TEST(RopeTableTest, LongPositionsKeepTheirPrecision) {
  const int32_t positions[] = {0, 1, 1000003, 7};
  const float frequencies[] = {1, 0.1f, 0.0123f, 1e-6f, 0.7f};
  std::vector<float> table(4 * 10, -77);
  const RopeTableArgs args{.positions = positions,
                           .frequencies = frequencies,
                           .table = table.data(),
                           .tokens = 4,
                           .half = 5,
                           .magnitude = 1.25f};
  RopeTableArgs coarse = args;
  coarse.multiple = 4;
  std::vector<float> coarse_table(4 * 10);
  coarse.table = coarse_table.data();
  RunSplit(RopeTableImpls()[0], coarse, 4);
  EXPECT_EQ(coarse_table[0], 1.25f) << "position 0";
  EXPECT_EQ(coarse_table[10], 1.25f) << "position 1 counts as 0";
  EXPECT_NEAR(coarse_table[30], 1.25 * std::cos(4.0), 1e-6) << "position 7 counts as 4";
  ForEachImpl(RopeTableImpls(), [&](const OpImpl<RopeTableArgs>& impl) {
    RunSplit(impl, args, 4);
    const std::vector<double> want = reference::RopeTable(args);
    for (size_t i = 0; i < want.size(); ++i) EXPECT_NEAR(table[i], want[i], 1e-7) << i;
  });
}

TEST(RopeTest, EveryImplMatchesReference) {
  std::mt19937 rng(1);
  ForEachImpl(RopeImpls(), [&](const OpImpl<RopeArgs>& impl) {
    for (const size_t head_dim : {2, 4, 6, 8, 10, 16, 18, 32, 34, 40, 64, 80, 128}) {
      for (const size_t half : {head_dim / 2, (head_dim + 2) / 4}) {
        for (const int kind : {0, 1, 2}) {  // halves, pairs, pairs turned back
          const size_t heads = 3, width = heads * head_dim;
          std::vector<float> x = RandomValues(rng, kTokens * (width + 3));
          const std::vector<float> table = RandomTable(rng, half);
          std::vector<float> out(kTokens * (width + 1), -77);
          RopeArgs args{.x = x.data(),
                        .out = out.data(),
                        .table = table.data(),
                        .x_stride = width + 3,
                        .out_stride = width + 1,
                        .tokens = kTokens,
                        .heads = heads,
                        .head_dim = head_dim,
                        .half = half,
                        .interleaved = kind > 0,
                        .first_lane = kind == 0 ? 0 : head_dim - 2 * half,
                        .back = kind == 2};
          const std::vector<double> want = reference::Rope(args);
          RunSplit(impl, args, kTokens);
          args.out = x.data();
          args.out_stride = width + 3;
          RunSplit(impl, args, kTokens);
          for (size_t t = 0; t < kTokens; ++t) {
            for (size_t d = 0; d < width; ++d) {
              ASSERT_NEAR(out[t * (width + 1) + d], want[t * width + d], 1e-6)
                  << "head_dim " << head_dim << " half " << half << " d " << d;
            }
            ASSERT_EQ(out[t * (width + 1) + width], -77) << "wrote behind a row";
            ASSERT_TRUE(SameBits(&x[t * (width + 3)], &out[t * (width + 1)], width)) << "in place";
          }
        }
      }
    }
  });
}

KvCacheView MakeCache(const AlignedBytes& bytes, KvDType dtype, size_t head_dim) {
  return {.data = bytes.data(),
          .dtype = dtype,
          .num_blocks = 3,
          .layers = 2,
          .kv_heads = 2,
          .head_dim = head_dim,
          .block_tokens = 4};
}
constexpr size_t kCacheRows = 3 * 2 * 2 * 2 * 4;

size_t RowBytes(KvDType dtype, size_t head_dim) {
  return KvCacheView{.data = nullptr,
                     .dtype = dtype,
                     .num_blocks = 0,
                     .layers = 0,
                     .kv_heads = 0,
                     .head_dim = head_dim,
                     .block_tokens = 0}
      .RowBytes();
}

// Element d of a row of the cache, exactly.
float CacheValue(const KvCacheView& cache, const std::byte* rows, size_t offset, size_t d) {
  const size_t i = offset * cache.head_dim + d;
  if (cache.dtype == KvDType::kF32) return reinterpret_cast<const float*>(rows)[i];
  return HalfToFloat(reinterpret_cast<const uint16_t*>(rows)[i]);
}

TEST(KvWriteTest, EveryImplStoresTheRoundedRowsAndNothingElse) {
  std::mt19937 rng(2);
  const int32_t slots[kTokens] = {4 * 2 + 3, 0, 4 * 1 + 2};
  ForEachImpl(KvWriteImpls(), [&](const OpImpl<KvWriteArgs>& impl) {
    for (const size_t dim : {2, 6, 8, 10, 16, 18, 40, 64}) {
      for (const KvDType dtype : {KvDType::kF32, KvDType::kF16}) {
        const std::vector<float> k = RandomValues(rng, kTokens * (2 * dim + 1));
        const std::vector<float> v = RandomValues(rng, kTokens * (2 * dim + 3), 1e-4f);
        AlignedBytes bytes(kCacheRows * RowBytes(dtype, dim));
        const KvCacheView cache = MakeCache(bytes, dtype, dim);
        std::vector<bool> written(bytes.size());
        RunSplit(impl,
                 KvWriteArgs{.k = k.data(),
                             .v = v.data(),
                             .k_stride = 2 * dim + 1,
                             .v_stride = 2 * dim + 3,
                             .tokens = kTokens,
                             .cache = cache,
                             .layer = 1,
                             .slots = slots},
                 kTokens);
        for (size_t t = 0; t < kTokens; ++t) {
          const size_t block = static_cast<size_t>(slots[t]) / 4,
                       offset = static_cast<size_t>(slots[t]) % 4;
          for (size_t g = 0; g < 2; ++g) {
            for (size_t d = 0; d < dim; ++d) {
              const float kx = k[t * (2 * dim + 1) + g * dim + d];
              const float vx = v[t * (2 * dim + 3) + g * dim + d];
              const bool halves = dtype == KvDType::kF16;
              EXPECT_EQ(CacheValue(cache, cache.K(block, 1, g), offset, d),
                        halves ? HalfToFloat(reference::RoundToHalf(kx)) : kx);
              EXPECT_EQ(CacheValue(cache, cache.V(block, 1, g), offset, d),
                        halves ? HalfToFloat(reference::RoundToHalf(vx)) : vx);
            }
            for (const std::byte* rows : {cache.K(block, 1, g), cache.V(block, 1, g)}) {
              const size_t row_bytes = dim * KvElementBytes(dtype);
              const size_t first = static_cast<size_t>(rows - cache.data) + offset * row_bytes;
              for (size_t i = 0; i < row_bytes; ++i) written[first + i] = true;
            }
          }
        }
        for (size_t i = 0; i < bytes.size(); ++i) {
          if (!written[i]) {
            ASSERT_EQ(bytes.data()[i], std::byte{0xa5}) << "byte " << i;
          }
        }
      }
    }
  });
}

TEST(KvWriteTest, RowsOfALatentCacheAreKThenV) {
  std::mt19937 rng(5);
  const int32_t slots[kTokens] = {4 * 2 + 3, 0, 4 * 1 + 2};
  ForEachImpl(KvWriteImpls(), [&](const OpImpl<KvWriteArgs>& impl) {
    for (const auto& [value_dim, rest] : {std::pair<size_t, size_t>(8, 4), {40, 8}, {512, 64}}) {
      for (const KvDType dtype : {KvDType::kF32, KvDType::kF16}) {
        const std::vector<float> k = RandomValues(rng, kTokens * (value_dim + 1));
        const std::vector<float> v = RandomValues(rng, kTokens * (rest + 3));
        const size_t dim = value_dim + rest;
        AlignedBytes bytes(3 * 2 * 4 * dim * KvElementBytes(dtype));
        const KvCacheView cache{.data = bytes.data(),
                                .dtype = dtype,
                                .num_blocks = 3,
                                .layers = 2,
                                .kv_heads = 1,
                                .head_dim = dim,
                                .block_tokens = 4,
                                .value_dim = value_dim};
        ASSERT_EQ(3 * cache.BlockBytes(), bytes.size()) << "one side instead of two";
        RunSplit(impl,
                 KvWriteArgs{.k = k.data(),
                             .v = v.data(),
                             .k_stride = value_dim + 1,
                             .v_stride = rest + 3,
                             .tokens = kTokens,
                             .cache = cache,
                             .layer = 1,
                             .slots = slots},
                 kTokens);
        std::vector<bool> written(bytes.size());
        for (size_t t = 0; t < kTokens; ++t) {
          const size_t offset = static_cast<size_t>(slots[t]) % 4;
          const std::byte* rows = cache.K(static_cast<size_t>(slots[t]) / 4, 1, 0);
          for (size_t d = 0; d < dim; ++d) {
            const float x =
                d < value_dim ? k[t * (value_dim + 1) + d] : v[t * (rest + 3) + d - value_dim];
            EXPECT_EQ(CacheValue(cache, rows, offset, d),
                      dtype == KvDType::kF16 ? HalfToFloat(reference::RoundToHalf(x)) : x);
          }
          const size_t row_bytes = dim * KvElementBytes(dtype);
          const size_t first = static_cast<size_t>(rows - cache.data) + offset * row_bytes;
          for (size_t i = 0; i < row_bytes; ++i) written[first + i] = true;
        }
        for (size_t i = 0; i < bytes.size(); ++i) {
          if (!written[i]) {
            ASSERT_EQ(bytes.data()[i], std::byte{0xa5}) << "byte " << i;
          }
        }
      }
    }
  });
}

// Each row is QuantizedRows' of one block as wide as the row.
TEST(KvWriteTest, RowsOf8BitsAreWithinHalfAScale) {
  std::mt19937 rng(7);
  const int32_t slots[kTokens] = {4 * 2 + 3, 0, 4 * 1 + 2};
  for (const size_t dim : {32, 64, 96, 512}) {
    const size_t stride = 2 * dim + 1;
    std::vector<float> k = RandomValues(rng, kTokens * stride);
    std::vector<float> v = RandomValues(rng, kTokens * stride, 1e-4f);
    k[3] = 1000;                                // an outlier
    for (size_t d = 0; d < dim; ++d) v[d] = 0;  // a row of nothing
    k[stride + 5] = std::nanf("");              // and rows that are no numbers
    v[stride + 6] = -std::numeric_limits<float>::infinity();
    std::vector<std::byte> first;
    ForEachImpl(KvWriteImpls(), [&](const OpImpl<KvWriteArgs>& impl) {
      AlignedBytes bytes(kCacheRows * RowBytes(KvDType::kQ8, dim));
      const KvCacheView cache = MakeCache(bytes, KvDType::kQ8, dim);
      RunSplit(impl,
               KvWriteArgs{.k = k.data(),
                           .v = v.data(),
                           .k_stride = stride,
                           .v_stride = stride,
                           .tokens = kTokens,
                           .cache = cache,
                           .layer = 1,
                           .slots = slots},
               kTokens);
      for (size_t t = 0; t < kTokens; ++t) {
        const size_t block = static_cast<size_t>(slots[t]) / 4,
                     offset = static_cast<size_t>(slots[t]) % 4;
        for (size_t g = 0; g < 4; ++g) {
          const bool is_v = g >= 2;
          const float* x = (is_v ? v : k).data() + t * stride + g % 2 * dim;
          const std::byte* row = (is_v ? cache.V(block, 1, g % 2) : cache.K(block, 1, g % 2)) +
                                 offset * cache.RowBytes();
          float scale, largest = 0;
          std::memcpy(&scale, row, sizeof(scale));
          bool finite = true;
          for (size_t d = 0; d < dim; ++d) {
            finite = finite && std::isfinite(x[d]);
            largest = std::max(largest, std::abs(x[d]));
          }
          if (!finite) {
            EXPECT_TRUE(std::isnan(scale));
            continue;
          }
          EXPECT_EQ(scale, largest / 127);
          for (size_t d = 0; d < dim; ++d) {
            const auto code = reinterpret_cast<const int8_t*>(row)[sizeof(scale) + d];
            ASSERT_LE(std::abs(static_cast<float>(code) * scale - x[d]), scale * 0.5001f);
          }
        }
      }
      // The same bytes everywhere.
      if (first.empty()) first.assign(bytes.data(), bytes.data() + bytes.size());
      EXPECT_EQ(std::memcmp(first.data(), bytes.data(), bytes.size()), 0) << impl.name;
    });
  }
}

// All half boundaries: every half, its neighbours in f32, the midpoints and their neighbours.
TEST(KvWriteTest, RoundingToHalvesIsExact) {
  std::vector<float> values;
  const float inf = std::numeric_limits<float>::infinity();
  for (uint32_t h = 0; h < 0x7c00; h += 1) {
    const float low = HalfToFloat(static_cast<uint16_t>(h));
    const float high = h == 0x7bff ? 65536 : HalfToFloat(static_cast<uint16_t>(h + 1));
    const float middle = (low + high) / 2;
    for (const float x : {low, std::nextafter(low, inf), std::nextafter(middle, 0.0f), middle,
                          std::nextafter(middle, inf)}) {
      values.push_back(x);
      values.push_back(-x);
    }
  }
  for (const float x : {65504.0f, 65519.0f, 65520.0f, 1e30f, inf, std::nanf("")}) {
    values.push_back(x);
    values.push_back(-x);
  }
  while (values.size() % 2 != 0) values.push_back(0);
  const size_t dim = values.size();
  const int32_t slot = 0;
  ForEachImpl(KvWriteImpls(), [&](const OpImpl<KvWriteArgs>& impl) {
    AlignedBytes bytes(2 * dim * sizeof(uint16_t));
    const KvCacheView cache{.data = bytes.data(),
                            .dtype = KvDType::kF16,
                            .num_blocks = 1,
                            .layers = 1,
                            .kv_heads = 1,
                            .head_dim = dim,
                            .block_tokens = 1};
    impl.run({.k = values.data(),
              .v = values.data(),
              .k_stride = dim,
              .v_stride = dim,
              .tokens = 1,
              .cache = cache,
              .layer = 0,
              .slots = &slot},
             0, 1, nullptr);
    const auto* halves = reinterpret_cast<const uint16_t*>(bytes.data());
    for (size_t i = 0; i < dim; ++i) {
      if (std::isnan(values[i])) {
        ASSERT_TRUE(std::isnan(HalfToFloat(halves[i])));
      } else {
        ASSERT_EQ(halves[i], reference::RoundToHalf(values[i])) << values[i];
      }
    }
  });
}

TEST(RopeKvWriteTest, EqualsTheSeparateOpsBitForBit) {
  std::mt19937 rng(3);
  const int32_t slots[kTokens] = {11, 1, 6};
  const auto same_impl = [](const auto& impls, const char* name) {
    for (const auto& impl : impls) {
      if (std::string(impl.name) == name) return impl;
    }
    return impls.back();
  };
  ForEachImpl(RopeKvWriteImpls(), [&](const OpImpl<RopeKvWriteArgs>& impl) {
    for (const size_t dim : {4, 10, 16, 40, 64, 80, 96}) {
      for (const size_t half : {dim / 2, dim / 4}) {
        for (const bool interleaved : {false, true}) {
          for (const KvDType dtype : {KvDType::kF32, KvDType::kF16, KvDType::kQ8}) {
            if (dtype == KvDType::kQ8 && dim % kQ8DimMultiple != 0) continue;
            const size_t heads = 4, kv_heads = 2, width = (heads + 2 * kv_heads) * dim;
            const std::vector<float> qkv = RandomValues(rng, kTokens * width);
            const std::vector<float> table = RandomTable(rng, half);
            std::vector<float> q(kTokens * heads * dim), q_want(q.size());
            std::vector<float> k(kTokens * kv_heads * dim);
            AlignedBytes bytes(kCacheRows * RowBytes(dtype, dim)), want(bytes.size());
            RopeKvWriteArgs args{.q = {.x = qkv.data(),
                                       .out = q.data(),
                                       .table = table.data(),
                                       .x_stride = width,
                                       .out_stride = heads * dim,
                                       .tokens = kTokens,
                                       .heads = heads,
                                       .head_dim = dim,
                                       .half = half,
                                       .interleaved = interleaved},
                                 .k = {},
                                 .write = {.k = nullptr,
                                           .v = qkv.data() + (heads + kv_heads) * dim,
                                           .k_stride = 0,
                                           .v_stride = width,
                                           .tokens = kTokens,
                                           .cache = MakeCache(bytes, dtype, dim),
                                           .layer = 1,
                                           .slots = slots}};
            args.k = args.q;
            args.k.x = qkv.data() + heads * dim;
            args.k.heads = kv_heads;
            args.k.out = nullptr;
            RunSplit(impl, args, kTokens);

            RopeArgs q_rope = args.q, k_rope = args.k;
            q_rope.out = q_want.data();
            k_rope.out = k.data();
            k_rope.out_stride = kv_heads * dim;
            KvWriteArgs write = args.write;
            write.k = k.data();
            write.k_stride = kv_heads * dim;
            write.cache = MakeCache(want, dtype, dim);
            RunSplit(same_impl(RopeImpls(), impl.name), q_rope, kTokens);
            RunSplit(same_impl(RopeImpls(), impl.name), k_rope, kTokens);
            RunSplit(same_impl(KvWriteImpls(), impl.name), write, kTokens);
            ASSERT_TRUE(SameBits(q.data(), q_want.data(), q.size()));
            ASSERT_EQ(std::memcmp(bytes.data(), want.data(), bytes.size()), 0)
                << "dim " << dim << " half " << half << " interleaved " << interleaved;
          }
        }
      }
    }
  });
}

}  // namespace
}  // namespace pelton
