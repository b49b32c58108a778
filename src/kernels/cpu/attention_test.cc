#include "kernels/ops/attention.h"

#include <gtest/gtest.h>

#include "kernels/cpu/attention_case.h"
#include "kernels/ops/elementwise.h"
#include "kernels/reference/attention.h"

namespace pelton {
namespace cpu::amx {
void PromptAttention(const AttentionArgs&, size_t, size_t, std::byte*) noexcept;
}
// The same source on tiles emulated in plain C++ and with AVX-512.
namespace cpu::amx_emulated {
void PromptAttention(const AttentionArgs&, size_t, size_t, std::byte*) noexcept;
}
namespace cpu::amx_emulated_avx512 {
void PromptAttention(const AttentionArgs&, size_t, size_t, std::byte*) noexcept;
}
namespace {

constexpr OpImpl<AttentionArgs> kPromptImpls[] = {
    {"amx_bf16", kCpuAmx | kCpuAvx512 | kCpuAvx512Vnni | kCpuAvx512Bf16, cpu::amx::PromptAttention},
    {"amx_emulated_avx512", kCpuAvx512 | kCpuAvx512Vnni, cpu::amx_emulated_avx512::PromptAttention},
    {"amx_emulated", kCpuGeneric, cpu::amx_emulated::PromptAttention}};

// Those of prompts, where they take heads of this size, and all others.
std::vector<OpImpl<AttentionArgs>> AllImpls(const AttentionShape& shape) {
  std::vector<OpImpl<AttentionArgs>> impls;
  if (shape.dim % 32 == 0 && shape.KeyDim() % 32 == 0)
    impls.assign(std::begin(kPromptImpls), std::end(kPromptImpls));
  impls.insert(impls.end(), AttentionImpls().begin(), AttentionImpls().end());
  return impls;
}

// Runs units [begin, end) with scratch memory of exactly the promised size, full of NaNs.
void RunUnits(const OpImpl<AttentionArgs>& impl, const AttentionArgs& args, size_t begin,
              size_t end) {
  const AlignedBytes scratch(AttentionScratchBytes(args));
  std::memset(scratch.data(), 0xff, scratch.size());
  impl.run(args, begin, end, scratch.data());
}

void RunAll(const OpImpl<AttentionArgs>& impl, const AttentionArgs& args) {
  RunUnits(impl, args, 0, AttentionUnits(args));
}

AttentionShape RandomShape(std::mt19937& rng) {
  const auto pick = [&](std::initializer_list<size_t> from) {
    return *(from.begin() + static_cast<std::ptrdiff_t>(rng() % from.size()));
  };
  AttentionShape shape;
  shape.kv_heads = pick({1, 2, 3});
  shape.heads = shape.kv_heads * pick({1, 2, 3, 4, 8});
  shape.dim = pick({2, 6, 16, 20, 40, 64, 64, 80, 96, 128, 256});
  shape.dtype = rng() % 2 == 0 ? KvDType::kF32 : KvDType::kF16;
  if (shape.dim % kQ8DimMultiple == 0 && rng() % 3 == 0) shape.dtype = KvDType::kQ8;
  shape.block_tokens = pick({1, 5, 16, 32, 48, 64, 1000});
  const size_t sequences = 1 + rng() % 4;
  for (size_t s = 0; s < sequences; ++s) {
    const auto count = static_cast<int32_t>(pick({1, 1, 1, 2, 5, 17, 49, 100}));
    const auto past = static_cast<int32_t>(pick({0, 0, 1, 15, 63, 64, 200, 255, 256, 257, 530}));
    shape.sequences.push_back({count, count + past});
  }
  return shape;
}

// Over a latent cache.
AttentionShape RandomShapeOverLatents(std::mt19937& rng) {
  const auto pick = [&](std::initializer_list<size_t> from) {
    return *(from.begin() + static_cast<std::ptrdiff_t>(rng() % from.size()));
  };
  AttentionShape shape;
  shape.kv_heads = 1;
  shape.heads = pick({1, 2, 3, 8, 16});
  shape.dim = pick({8, 32, 40, 128, 256, 512});
  shape.rope_dim = pick({4, 8, 32, 64});
  shape.dtype = rng() % 2 == 0 ? KvDType::kF32 : KvDType::kF16;
  if (shape.dim % kFp8Group == 0 && rng() % 3 != 0) shape.dtype = KvDType::kFp8;
  shape.block_tokens = pick({1, 5, 16, 32, 64, 1000});
  const size_t sequences = 1 + rng() % 3;
  for (size_t s = 0; s < sequences; ++s) {
    const auto count = static_cast<int32_t>(pick({1, 1, 2, 5, 17, 49}));
    const auto past = static_cast<int32_t>(pick({0, 1, 15, 64, 255, 256, 257, 530}));
    shape.sequences.push_back({count, count + past});
  }
  return shape;
}

// The last `latent` of `seeds` shapes are over latent caches.
AttentionShape ShapeOfSeed(std::mt19937& rng, uint32_t seed, uint32_t seeds, uint32_t latent) {
  AttentionShape shape = seed + latent > seeds ? RandomShapeOverLatents(rng) : RandomShape(rng);
  shape.sinks = seed % 3 == 0;
  return shape;
}

void Randomise(std::mt19937& rng, AttentionArgs& args) {
  constexpr int32_t kWindows[] = {0, 0, 1, 7, 64, 300};
  args.window = kWindows[rng() % 6];
  if (rng() % 3 == 0) args.soft_cap = 1.5f;
}

std::string Describe(const AttentionShape& shape, const AttentionArgs& args) {
  std::string out = "heads " + std::to_string(shape.heads) + "/" + std::to_string(shape.kv_heads) +
                    " dim " + std::to_string(shape.dim) + "+" + std::to_string(shape.rope_dim) +
                    " block " + std::to_string(shape.block_tokens) + " dtype " +
                    std::to_string(static_cast<int>(shape.dtype)) + " window " +
                    std::to_string(args.window) + " cap " + std::to_string(args.soft_cap) +
                    (args.sinks != nullptr ? " sinks" : "");
  for (const auto& [count, context] : shape.sequences) {
    out += " (" + std::to_string(count) + "," + std::to_string(context) + ")";
  }
  return out;
}

TEST(AttentionTest, EveryImplMatchesReference) {
  for (uint32_t seed = 1; seed <= 70; ++seed) {
    std::mt19937 rng(seed);
    const AttentionShape shape = ShapeOfSeed(rng, seed, 70, 30);
    const AttentionCase c(rng, shape);
    std::vector<float> out(c.rows() * (c.width() + 2), -77);
    AttentionArgs args = c.Args(out.data());
    args.out_stride = c.width() + 2;
    Randomise(rng, args);
    SCOPED_TRACE(Describe(shape, args));
    const std::vector<double> want = reference::Attention(args);
    ForEachImpl(AttentionImpls(), [&](const OpImpl<AttentionArgs>& impl) {
      std::fill(out.begin(), out.end(), -77.0f);
      RunAll(impl, args);
      for (size_t row = 0; row < c.rows(); ++row) {
        for (size_t i = 0; i < c.width(); ++i) {
          ASSERT_NEAR(out[row * args.out_stride + i], want[row * c.width() + i], 4e-6)
              << "row " << row << " column " << i;
        }
        ASSERT_EQ(out[row * args.out_stride + c.width()], -77) << "wrote behind a row";
      }
    });
  }
}

AttentionShape WholeSequences(std::mt19937& rng) {
  AttentionShape shape = RandomShape(rng);
  shape.sequences.clear();
  for (size_t s = 0; s < 1 + rng() % 4; ++s) {
    const int32_t lengths[] = {1, 2, 7, 16, 17, 49, 100, 256, 257, 300};
    const int32_t count = lengths[rng() % 10];
    shape.sequences.push_back({count, count});
  }
  return shape;
}

// Rounding q, K, weights and V to 8 significant bits leaves an error of some thousandths.
void ExpectNearInBf16(const std::vector<float>& got, const std::vector<double>& want) {
  double sum = 0;
  for (size_t i = 0; i < want.size(); ++i) {
    ASSERT_NEAR(got[i], want[i], 0.03) << i;
    sum += std::abs(static_cast<double>(got[i]) - want[i]);
  }
  EXPECT_LT(sum / static_cast<double>(want.size()), 0.003);
}

TEST(AttentionTest, PromptImplsAreNearReference) {
  for (uint32_t seed = 1; seed <= 60; ++seed) {
    std::mt19937 rng(seed + 2000);
    AttentionShape shape = ShapeOfSeed(rng, seed, 60, 20);
    shape.dim = std::max<size_t>(shape.dim / 32 * 32, 32);
    if (shape.rope_dim != 0) shape.rope_dim = std::max<size_t>(shape.rope_dim, 32);
    const AttentionCase c(rng, shape);
    std::vector<float> out(c.rows() * c.width());
    AttentionArgs args = c.Args(out.data());
    Randomise(rng, args);
    SCOPED_TRACE(Describe(shape, args));
    const std::vector<double> want = reference::Attention(args);
    ForEachImpl<AttentionArgs>(kPromptImpls, [&](const OpImpl<AttentionArgs>& impl) {
      std::fill(out.begin(), out.end(), -77.0f);
      RunAll(impl, args);
      ExpectNearInBf16(out, want);
    });
  }
}

TEST(AttentionTest, PromptImplsOverTheStepsRowsAreNearReference) {
  for (uint32_t seed = 1; seed <= 20; ++seed) {
    std::mt19937 rng(seed + 3000);
    AttentionShape shape = WholeSequences(rng);
    shape.dim = std::max<size_t>(shape.dim / 32 * 32, 32);
    AttentionCase c(rng, shape);
    std::vector<float> out(c.rows() * c.width());
    const AttentionArgs args = c.StepArgs(rng, out.data());
    SCOPED_TRACE(Describe(shape, args));
    const std::vector<double> want = reference::Attention(args);
    ForEachImpl<AttentionArgs>(kPromptImpls, [&](const OpImpl<AttentionArgs>& impl) {
      RunAll(impl, args);
      ExpectNearInBf16(out, want);
    });
  }
}

TEST(AttentionTest, PromptsHaveTheirOwnImplOnlyWhereItMayRun) {
  std::mt19937 rng(1);
  const bool tiles = (CpuFeatures() & kCpuAmx) != 0 && (CpuFeatures() & kCpuAvx512Bf16) != 0;
  const auto has_impl = [&](const AttentionShape& shape) {
    const AttentionCase c(rng, shape);
    return PromptAttentionImpl(c.Args(nullptr)) != nullptr;
  };
  for (const size_t dim : {64, 40}) {
    EXPECT_EQ(has_impl({.dim = dim, .sequences = {{1, 1}}}), tiles && dim == 64);
  }
  for (const auto& [dim, rope_dim] : {std::pair(512, 64), std::pair(40, 24), std::pair(64, 8)}) {
    const AttentionShape shape = {.kv_heads = 1,
                                  .dim = static_cast<size_t>(dim),
                                  .rope_dim = static_cast<size_t>(rope_dim),
                                  .sequences = {{1, 1}}};
    EXPECT_EQ(has_impl(shape), tiles && dim == 512) << dim << "+" << rope_dim;
  }
}

TEST(AttentionTest, BothDirectionsOverTheStepsRowsMatchReference) {
  for (uint32_t seed = 1; seed <= 40; ++seed) {
    std::mt19937 rng(seed + 500);
    const AttentionShape shape = WholeSequences(rng);
    AttentionCase c(rng, shape);
    std::vector<float> out(c.rows() * c.width());
    const AttentionArgs args = c.StepArgs(rng, out.data());
    SCOPED_TRACE(Describe(shape, args));
    const std::vector<double> want = reference::Attention(args);
    ForEachImpl(AttentionImpls(), [&](const OpImpl<AttentionArgs>& impl) {
      std::fill(out.begin(), out.end(), -77.0f);
      RunAll(impl, args);
      for (size_t i = 0; i < want.size(); ++i) ASSERT_NEAR(out[i], want[i], 4e-6) << i;
    });
  }
}

TEST(AttentionTest, BothDirectionsDoNotDependOnNeighboursOrUnits) {
  std::mt19937 rng(77);
  const AttentionShape shape = {
      .heads = 4, .kv_heads = 2, .dim = 32, .sequences = {{100, 100}, {7, 7}, {300, 300}, {1, 1}}};
  AttentionCase c(rng, shape);
  std::vector<float> want(c.rows() * c.width()), got(want.size());
  AttentionArgs args = c.StepArgs(rng, want.data());
  ForEachImpl<AttentionArgs>(AllImpls(shape), [&](const OpImpl<AttentionArgs>& impl) {
    args.out = want.data();
    args.sequences = c.spans().data();
    args.num_sequences = c.spans().size();
    RunAll(impl, args);
    args.out = got.data();
    for (const SequenceSpan& span : c.spans()) {  // each alone, unit by unit
      args.sequences = &span;
      args.num_sequences = 1;
      for (size_t unit = 0; unit < AttentionUnits(args); ++unit) {
        RunUnits(impl, args, unit, unit + 1);
      }
    }
    EXPECT_TRUE(SameBits(got.data(), want.data(), want.size()));
  });
}

TEST(AttentionTest, SinksOfAnySizeAreKept) {
  std::mt19937 rng(8);
  AttentionCase c(rng, {.heads = 4, .kv_heads = 1, .sequences = {{5, 700}, {1, 300}}});
  std::vector<float> out(c.rows() * c.width());
  AttentionArgs args = c.Args(out.data());
  // Above the other weights together, far above, nothing, and far below.
  const float sinks[] = {9, 500, -std::numeric_limits<float>::infinity(), -500};
  args.sinks = sinks;
  const std::vector<double> want = reference::Attention(args);
  ForEachImpl(AttentionImpls(), [&](const OpImpl<AttentionArgs>& impl) {
    RunAll(impl, args);
    for (size_t i = 0; i < want.size(); ++i) ASSERT_NEAR(out[i], want[i], 4e-6) << i;
  });
}

TEST(AttentionTest, LargeScoresNeitherOverflowNorLoseTheMaximum) {
  std::mt19937 rng(7);
  AttentionCase c(rng, {.sequences = {{5, 700}, {1, 300}}});
  std::vector<float> out(c.rows() * c.width());
  AttentionArgs args = c.Args(out.data());
  args.scale = 40;  // scores of some hundreds, the best key anywhere
  const std::vector<double> want = reference::Attention(args);
  ForEachImpl(AttentionImpls(), [&](const OpImpl<AttentionArgs>& impl) {
    RunAll(impl, args);
    // A score of 1,000 in f32 has an error of some 1e-4, which the weights inherit.
    for (size_t i = 0; i < want.size(); ++i) ASSERT_NEAR(out[i], want[i], 2e-3) << i;
  });
}

TEST(AttentionTest, BitsDoNotDependOnUnitsChunksOrNeighbours) {
  for (uint32_t seed = 1; seed <= 45; ++seed) {
    std::mt19937 rng(seed + 1000);
    const AttentionShape shape = ShapeOfSeed(rng, seed, 45, 15);
    AttentionCase c(rng, shape);
    std::vector<float> want(c.rows() * c.width()), got(want.size());
    AttentionArgs args = c.Args(want.data());
    Randomise(rng, args);
    SCOPED_TRACE(Describe(shape, args));
    ForEachImpl<AttentionArgs>(AllImpls(shape), [&](const OpImpl<AttentionArgs>& impl) {
      args.out = want.data();
      args.sequences = c.spans().data();
      args.num_sequences = c.spans().size();
      RunAll(impl, args);

      // Random cuts of the units, from the back.
      args.out = got.data();
      std::fill(got.begin(), got.end(), -77.0f);
      for (size_t end = AttentionUnits(args); end > 0;) {
        const size_t begin = rng() % 3 == 0 ? end - 1 : rng() % end;
        RunUnits(impl, args, begin, end);
        end = begin;
      }
      ASSERT_TRUE(SameBits(got.data(), want.data(), want.size())) << "units";

      // Each sequence by itself, in chunks of random length, in their order.
      std::fill(got.begin(), got.end(), -77.0f);
      for (const SequenceSpan& span : c.spans()) {
        for (int32_t first = 0; first < span.count;) {
          const int32_t left = span.count - first;
          const int32_t count = 1 + static_cast<int32_t>(rng() % static_cast<uint32_t>(left));
          const SequenceSpan chunk = {0, count, span.context - span.count + first + count,
                                      span.block_table};
          AttentionArgs part = args;
          const size_t row = static_cast<size_t>(span.first_row) + static_cast<size_t>(first);
          part.q += row * args.q_stride;
          if (part.q_rope != nullptr) part.q_rope += row * args.q_rope_stride;
          part.out += row * args.out_stride;
          part.sequences = &chunk;
          part.num_sequences = 1;
          RunAll(impl, part);
          first += count;
        }
      }
      ASSERT_TRUE(SameBits(got.data(), want.data(), want.size())) << "chunks";

      // Every row as a sequence of its own, all in one call.
      std::vector<SequenceSpan> rows;
      for (const SequenceSpan& span : c.spans()) {
        for (int32_t i = 0; i < span.count; ++i) {
          rows.push_back(
              {span.first_row + i, 1, span.context - span.count + i + 1, span.block_table});
        }
      }
      std::fill(got.begin(), got.end(), -77.0f);
      args.sequences = rows.data();
      args.num_sequences = rows.size();
      RunAll(impl, args);
      ASSERT_TRUE(SameBits(got.data(), want.data(), want.size())) << "rows";
    });
  }
}

TEST(AttentionTest, UnseenKeysAreNotTouchedAndSeenNansAreKept) {
  std::mt19937 rng(9);
  const float inf = std::numeric_limits<float>::infinity();
  for (const auto& [dtype, rope_dim] :
       {std::pair(KvDType::kF32, 0), std::pair(KvDType::kF16, 0), std::pair(KvDType::kQ8, 0),
        std::pair(KvDType::kF32, 8), std::pair(KvDType::kFp8, 8)}) {
    const size_t dim = dtype == KvDType::kQ8 ? 64 : dtype == KvDType::kFp8 ? 128 : 40;

    AttentionCase c(rng, {.heads = 3,
                          .kv_heads = 1,
                          .dim = dim,
                          .dtype = dtype,
                          .rope_dim = static_cast<size_t>(rope_dim),
                          .sequences = {{20, 300}}});
    std::vector<float> want(c.rows() * c.width()), got(want.size());
    AttentionArgs args = c.Args(want.data());
    args.window = 30;
    ForEachImpl(AttentionImpls(), [&](const OpImpl<AttentionArgs>& impl) {
      args.out = want.data();
      RunAll(impl, args);
      // Row r is at position 280 + r and sees (250 + r, 280 + r]. The two poisoned tokens are
      // outside of what rows 5 .. 14 see, but not of what rows beside them see.
      for (const int32_t position : {255, 295}) {
        c.SetToken(c.spans()[0], position, true, inf);
        c.SetToken(c.spans()[0], position, false, std::nanf(""));
      }
      args.out = got.data();
      RunAll(impl, args);
      for (size_t row = 0; row < 20; ++row) {
        const float* a = &got[row * c.width()];
        if (row >= 5 && row < 15) {
          EXPECT_TRUE(SameBits(a, &want[row * c.width()], c.width())) << "row " << row;
        } else {
          for (size_t i = 0; i < c.width(); ++i) ASSERT_TRUE(std::isnan(a[i])) << "row " << row;
        }
      }
      for (const int32_t position : {255, 295}) {
        for (const bool value : {false, true}) c.SetToken(c.spans()[0], position, value, 0.25f);
      }
    });
  }
}

TEST(AttentionTest, QuantisedOutputEqualsQuantizeRows) {
  std::mt19937 rng(11);
  for (const size_t dim : {32, 64, 96, 128}) {
    AttentionShape shape = {
        .heads = 6, .kv_heads = 2, .dim = dim, .sequences = {{1, 100}, {60, 60}, {3, 400}}};
    if (dim == 128) {
      shape.kv_heads = 1;
      shape.rope_dim = 32;
    }
    const AttentionCase c(rng, shape);
    std::vector<float> out(c.rows() * c.width());
    ForEachImpl<AttentionArgs>(AllImpls(shape), [&](const OpImpl<AttentionArgs>& impl) {
      AttentionArgs args = c.Args(out.data());
      RunAll(impl, args);
      AlignedBytes got(c.rows() * QuantizedRows::RowBytes(c.width())), want(got.size());
      args.out = nullptr;
      args.out_quantized = got.data();
      RunAll(impl, args);
      QuantizeRowsImpls().back().run({.x = out.data(),
                                      .out = want.data(),
                                      .rows = c.rows(),
                                      .dim = c.width(),
                                      .x_stride = c.width()},
                                     0, c.rows(), nullptr);
      ExpectSameQuantized({got.data(), c.width()}, {want.data(), c.width()}, c.rows());
    });
  }
}

TEST(AttentionTest, ContiguousPartsOfAPromptHoldSimilarWork) {
  std::mt19937 rng(13);
  const AttentionCase c(rng, {.heads = 3, .kv_heads = 1, .dim = 2, .sequences = {{960, 960}}});
  std::vector<float> out(c.rows() * c.width(), -77);
  const AttentionArgs args = c.Args(out.data());
  const size_t units = AttentionUnits(args);
  ASSERT_GE(units, 30u);
  RunUnits(AttentionImpls().back(), args, 0, units / 2);
  double keys[2] = {0, 0};  // left out, visited
  for (size_t row = 0; row < c.rows(); ++row) {
    for (size_t h = 0; h < 3; ++h) keys[out[row * c.width() + h * 2] != -77] += row + 1;
  }
  EXPECT_NEAR(keys[1] / (keys[0] + keys[1]), 0.5, 0.05);
}

}  // namespace
}  // namespace pelton
