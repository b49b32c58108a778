#include "kernels/ops/expanded_attention.h"

#include "kernels/cpu/latent_case.h"

namespace pelton {

#define PELTON_EMULATED(isa)                                                                       \
  namespace cpu::isa {                                                                             \
  void ExpandedPromptAttention(const ExpandedAttentionArgs&, size_t, size_t, std::byte*) noexcept; \
  }
PELTON_EMULATED(amx_emulated)
PELTON_EMULATED(amx_emulated_avx512)
PELTON_EMULATED(amx)
#undef PELTON_EMULATED

namespace {

constexpr OpImpl<ExpandedAttentionArgs> kTileImpls[] = {
    {"amx_bf16", kCpuAmx | kCpuAvx512 | kCpuAvx512Vnni | kCpuAvx512Bf16,
     cpu::amx::ExpandedPromptAttention},
    {"emulated in vectors", kCpuAvx512 | kCpuAvx512Vnni,
     cpu::amx_emulated_avx512::ExpandedPromptAttention},
    {"emulated", kCpuGeneric, cpu::amx_emulated::ExpandedPromptAttention}};

void RunExpanded(const OpImpl<ExpandedAttentionArgs>& impl, ExpandedAttentionArgs args) {
  args.key_impl = &ExpansionImpl(args.key, MatmulRows::kPrompt);
  args.value_impl = &ExpansionImpl(args.value, MatmulRows::kPrompt);
  const AlignedBytes scratch(ExpandedAttentionScratchBytes(args));
  RunSplit(impl, args, ExpandedAttentionUnits(args), scratch.data());
}

double LargestDifference(const std::vector<double>& got, const std::vector<double>& want) {
  EXPECT_EQ(got.size(), want.size());
  double largest = 0;
  for (size_t i = 0; i < want.size(); ++i) {
    const double difference = std::abs(got[i] - want[i]);
    if (!(difference <= largest)) largest = difference;
  }
  return largest;
}

TEST(ExpandedAttentionTest, EqualsTheReferenceAndTheAbsorbedForm) {
  for (uint32_t seed = 1; seed <= 40; ++seed) {
    SCOPED_TRACE(seed);
    std::mt19937 rng(seed + 4000);
    LatentCase c(rng, RandomLatentShape(rng));
    const std::vector<double> want = c.Expanded();
    const std::vector<double> absorbed = c.Absorbed(rng, [&](const AttentionArgs& args) {
      const AlignedBytes scratch(AttentionScratchBytes(args));
      RunSplit(ChooseImpl(AttentionImpls()), args, AttentionUnits(args), scratch.data());
    });
    ForEachImpl(ExpandedAttentionImpls(), [&](const OpImpl<ExpandedAttentionArgs>& impl) {
      const std::vector<double> got = c.ExpandedInSteps(
          rng, [&](const ExpandedAttentionArgs& args) { RunExpanded(impl, args); });
      EXPECT_LT(LargestDifference(got, want), 5e-6);
      EXPECT_LT(LargestDifference(got, absorbed), 1e-5);
    });
  }
}

TEST(ExpandedAttentionTest, OnTilesIsNearTheReference) {
  for (uint32_t seed = 1; seed <= 20; ++seed) {
    SCOPED_TRACE(seed);
    std::mt19937 rng(seed + 5000);
    LatentShape shape = RandomLatentShape(rng);
    shape.nope = shape.value = rng() % 2 == 0 ? 32 : 64;
    shape.rope = 32;
    LatentCase c(rng, shape);
    const std::vector<double> want = c.Expanded();
    ForEachImpl<ExpandedAttentionArgs>(kTileImpls, [&](const OpImpl<ExpandedAttentionArgs>& impl) {
      const std::vector<double> got = c.ExpandedInSteps(
          rng, [&](const ExpandedAttentionArgs& args) { RunExpanded(impl, args); });
      // Scores of some units err by 2^-8 of their terms.
      EXPECT_LT(LargestDifference(got, want), 0.04);
    });
  }
}

TEST(ExpandedAttentionTest, BitsDoNotDependOnChunksUnitsOrNeighbours) {
  for (uint32_t seed = 1; seed <= 12; ++seed) {
    SCOPED_TRACE(seed);
    std::mt19937 rng(seed + 6000);
    LatentShape shape = RandomLatentShape(rng);
    if (seed % 2 == 0) shape.nope = shape.value = shape.rope = 32;
    LatentCase c(rng, shape);
    std::vector<OpImpl<ExpandedAttentionArgs>> impls(ExpandedAttentionImpls().begin(),
                                                     ExpandedAttentionImpls().end());
    if (seed % 2 == 0) impls.insert(impls.begin(), std::begin(kTileImpls), std::end(kTileImpls));
    impls.push_back(ExpandedAttentionImpls().back());
    ForEachImpl<ExpandedAttentionArgs>(impls, [&](const OpImpl<ExpandedAttentionArgs>& impl) {
      std::vector<double> first;
      for (size_t workers = 1; workers <= 64; workers *= 8) {
        const std::vector<double> got = c.ExpandedInSteps(rng, [&](ExpandedAttentionArgs args) {
          args.workers = workers;
          RunExpanded(impl, args);
        });
        if (first.empty()) first = got;
        EXPECT_EQ(LargestDifference(got, first), 0) << workers;
      }
    });
  }
}

TEST(ExpandedAttentionTest, LongPromptsAreCutIntoUnitsAndTiles) {
  std::mt19937 rng(7);
  // More rows than a unit has, and than a tile.
  LatentShape shape = {.heads = 2,
                       .latent = 32,
                       .rope = 32,
                       .nope = 32,
                       .value = 32,
                       .dtype = KvDType::kF16,
                       .block_tokens = 32,
                       .contexts = {1300, 200}};
  LatentCase c(rng, shape);
  const std::vector<double> want = c.Expanded();
  ForEachImpl(ExpandedAttentionImpls(), [&](const OpImpl<ExpandedAttentionArgs>& impl) {
    size_t most_units = 0;
    std::vector<std::vector<double>> results;
    for (const bool whole : {true, false}) {
      results.push_back(c.ExpandedInSteps(
          rng,
          [&](const ExpandedAttentionArgs& args) {
            most_units = std::max(most_units, ExpandedAttentionUnits(args));
            RunExpanded(impl, args);
          },
          whole));
      EXPECT_LT(LargestDifference(results.back(), want), 5e-6);
    }
    EXPECT_EQ(most_units, 2u * 3);
    EXPECT_EQ(results[0], results[1]);
  });
}

TEST(ExpandedAttentionTest, AcrossPartsEqualsTheReferenceInAnyChunks) {
  std::mt19937 rng(8);
  const LatentShape shape = {.heads = 1,
                             .latent = 32,
                             .rope = 32,
                             .nope = 32,
                             .value = 32,
                             .dtype = KvDType::kF16,
                             .block_tokens = 32,
                             .contexts = {2060, 1025}};
  LatentCase c(rng, shape);
  const std::vector<double> want = c.Expanded();
  std::vector<OpImpl<ExpandedAttentionArgs>> impls(std::begin(kTileImpls), std::end(kTileImpls));
  impls.insert(impls.end(), ExpandedAttentionImpls().begin(), ExpandedAttentionImpls().end());
  ForEachImpl<ExpandedAttentionArgs>(impls, [&](const OpImpl<ExpandedAttentionArgs>& impl) {
    const auto attend = [&](const ExpandedAttentionArgs& args) { RunExpanded(impl, args); };
    const std::vector<double> whole = c.ExpandedInSteps(rng, attend, true);
    const bool on_tiles = std::any_of(std::begin(kTileImpls), std::end(kTileImpls),
                                      [&](const auto& tiles) { return tiles.run == impl.run; });
    EXPECT_LT(LargestDifference(whole, want), on_tiles ? 0.04 : 5e-6);
    EXPECT_EQ(c.ExpandedInSteps(rng, attend), whole);
  });
}

}  // namespace
}  // namespace pelton
