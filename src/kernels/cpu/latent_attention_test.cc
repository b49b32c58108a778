#include "kernels/cpu/latent_case.h"

namespace pelton {
namespace {

void ExpectNear(const std::vector<double>& got, const std::vector<double>& want) {
  ASSERT_EQ(got.size(), want.size());
  for (size_t i = 0; i < want.size(); ++i) ASSERT_NEAR(got[i], want[i], 4e-6) << i;
}

TEST(LatentAttentionTest, AbsorbedEqualsExpanded) {
  for (uint32_t seed = 1; seed <= 25; ++seed) {
    SCOPED_TRACE(seed);
    std::mt19937 rng(seed);
    LatentCase c(rng, RandomLatentShape(rng));
    const std::vector<double> want = c.Expanded();
    ForEachImpl(AttentionImpls(), [&](const OpImpl<AttentionArgs>& impl) {
      ExpectNear(c.Absorbed(rng,
                            [&](const AttentionArgs& args) {
                              const AlignedBytes scratch(AttentionScratchBytes(args));
                              RunSplit(impl, args, AttentionUnits(args), scratch.data());
                            }),
                 want);
    });
  }
}

TEST(LatentAttentionTest, AbsorbedInPlainOpsEqualsExpanded) {
  for (uint32_t seed = 1; seed <= 10; ++seed) {
    SCOPED_TRACE(seed);
    std::mt19937 rng(seed + 100);
    LatentCase c(rng, RandomLatentShape(rng));
    const std::vector<double> want = c.Expanded();
    for (size_t i = 0; i < KvScoresImpls().size(); ++i) {
      if ((KvScoresImpls()[i].required_features & ~DetectedCpuFeatures()) != 0) continue;
      SCOPED_TRACE(KvScoresImpls()[i].name);
      const auto attend = [&](const AttentionArgs& a) {
        size_t stride = 0, units = 0;
        for (size_t s = 0; s < a.num_sequences; ++s) {
          stride = std::max(stride, static_cast<size_t>(a.sequences[s].context));
          units += static_cast<size_t>(a.sequences[s].count) * a.heads;
        }
        std::vector<float> scores(units * stride);
        RunSplit(KvScoresImpls()[i],
                 KvScoresArgs{.q = a.q,
                              .q_stride = a.q_stride,
                              .scores = scores.data(),
                              .scores_stride = stride,
                              .heads = a.heads,
                              .cache = a.cache,
                              .layer = a.layer,
                              .sequences = a.sequences,
                              .num_sequences = a.num_sequences,
                              .q_rope = a.q_rope,
                              .q_rope_stride = a.q_rope_stride},
                 units);
        for (float& x : scores) x *= a.scale;
        RunSplit(MaskedSoftmaxImpls()[i],
                 MaskedSoftmaxArgs{.scores = scores.data(),
                                   .scores_stride = stride,
                                   .heads = a.heads,
                                   .sequences = a.sequences,
                                   .num_sequences = a.num_sequences,
                                   .window = 0},
                 units);
        RunSplit(KvMixImpls()[i],
                 KvMixArgs{.weights = scores.data(),
                           .weights_stride = stride,
                           .out = a.out,
                           .out_stride = a.out_stride,
                           .heads = a.heads,
                           .cache = a.cache,
                           .layer = a.layer,
                           .sequences = a.sequences,
                           .num_sequences = a.num_sequences},
                 units);
      };
      ExpectNear(c.Absorbed(rng, attend), want);
      if (HasFatalFailure()) return;
    }
  }
}

}  // namespace
}  // namespace pelton
