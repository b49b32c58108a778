#include <gtest/gtest.h>

#include "kernels/cpu/attention_case.h"
#include "kernels/reference/attention.h"

namespace pelton {
namespace {

struct PlainCase {
  AttentionShape shape;
  int32_t window;
};

std::vector<PlainCase> PlainCases() {
  return {
      {{.heads = 4, .kv_heads = 2, .dim = 64, .sequences = {{1, 1}, {3, 40}, {20, 20}}}, 0},
      {{.heads = 3,
        .kv_heads = 3,
        .dim = 40,
        .dtype = KvDType::kF16,
        .block_tokens = 5,
        .sequences = {{7, 70}, {1, 33}}},
       9},
      {{.heads = 6,
        .kv_heads = 3,
        .dim = 64,
        .dtype = KvDType::kQ8,
        .block_tokens = 5,
        .sequences = {{7, 70}, {1, 33}}},
       9},
      {{.heads = 8, .kv_heads = 1, .dim = 6, .block_tokens = 64, .sequences = {{2, 300}}}, 128},
      {{.heads = 4, .kv_heads = 2, .dim = 32, .sinks = true, .sequences = {{3, 3}, {2, 300}}}, 24},
      {{.heads = 2,
        .kv_heads = 1,
        .dim = 17 * 2,
        .dtype = KvDType::kF16,
        .block_tokens = 1,
        .sequences = {{1, 19}, {1, 4}}},
       1},
      {{.heads = 16,
        .kv_heads = 1,
        .dim = 128,
        .dtype = KvDType::kF16,
        .rope_dim = 64,
        .sequences = {{3, 300}, {2, 2}}},
       0},
      {{.heads = 3, .kv_heads = 1, .dim = 40, .rope_dim = 4, .sequences = {{9, 60}, {1, 1}}}, 20},
  };
}

// Element d of the query of a row and a head.
float QueryElement(const AttentionArgs& a, const AttentionShape& shape, size_t row, size_t h,
                   size_t d) {
  if (d < shape.dim) return a.q[row * a.q_stride + h * shape.dim + d];
  return a.q_rope[row * a.q_rope_stride + h * shape.rope_dim + d - shape.dim];
}

TEST(PlainAttentionTest, EachOpMatchesItsMeaningAndTogetherTheyAreAttention) {
  std::mt19937 rng(3);
  for (const PlainCase& plain : PlainCases()) {
    const AttentionShape& shape = plain.shape;
    const AttentionCase c(rng, shape);
    std::vector<float> out(c.rows() * c.width());
    AttentionArgs fused = c.Args(out.data());
    fused.window = plain.window;
    const std::vector<double> want = reference::Attention(fused);

    size_t stride = 3;
    for (const auto& [count, context] : shape.sequences) {
      stride = std::max(stride, static_cast<size_t>(context) + 3);
    }
    const size_t units = c.rows() * shape.heads;
    for (size_t i = 0; i < KvScoresImpls().size(); ++i) {
      const uint32_t features = KvScoresImpls()[i].required_features;
      if ((features & ~DetectedCpuFeatures()) != 0) continue;
      SCOPED_TRACE(KvScoresImpls()[i].name);
      std::vector<float> scores(units * stride, -77);
      RunSplit(KvScoresImpls()[i],
               KvScoresArgs{.q = fused.q,
                            .q_stride = fused.q_stride,
                            .scores = scores.data(),
                            .scores_stride = stride,
                            .heads = shape.heads,
                            .cache = fused.cache,
                            .layer = fused.layer,
                            .sequences = fused.sequences,
                            .num_sequences = fused.num_sequences,
                            .q_rope = fused.q_rope,
                            .q_rope_stride = fused.q_rope_stride},
               units);
      for (size_t s = 0; s < fused.num_sequences; ++s) {
        const SequenceSpan& span = fused.sequences[s];
        for (int32_t r = span.first_row; r < span.first_row + span.count; ++r) {
          for (size_t h = 0; h < shape.heads; ++h) {
            float* row = &scores[(static_cast<size_t>(r) * shape.heads + h) * stride];
            for (size_t j = 0; j < static_cast<size_t>(span.context); ++j) {
              double dot = 0;
              for (size_t d = 0; d < shape.KeyDim(); ++d) {
                dot += QueryElement(fused, shape, static_cast<size_t>(r), h, d) *
                       reference::CacheElement(fused.cache, span, fused.layer,
                                               h / (shape.heads / shape.kv_heads), false, j, d);
              }
              ASSERT_NEAR(row[j], dot, 2e-5);
            }
            ASSERT_EQ(row[span.context], -77) << "wrote beyond the context";
          }
        }
      }

      for (float& v : scores) v = v == -77 ? v : v * fused.scale;
      RunSplit(MaskedSoftmaxImpls()[i],
               MaskedSoftmaxArgs{.scores = scores.data(),
                                 .scores_stride = stride,
                                 .heads = shape.heads,
                                 .sequences = fused.sequences,
                                 .num_sequences = fused.num_sequences,
                                 .window = plain.window,
                                 .sinks = fused.sinks},
               units);
      for (size_t s = 0; s < fused.num_sequences; ++s) {
        const SequenceSpan& span = fused.sequences[s];
        for (int32_t r = 0; r < span.count; ++r) {
          const int32_t position = span.context - span.count + r;
          for (size_t h = 0; h < shape.heads; ++h) {
            const float* row =
                &scores[(static_cast<size_t>(span.first_row + r) * shape.heads + h) * stride];
            double sum = 0;
            for (int32_t j = 0; j < span.context; ++j) {
              const bool seen = j <= position && (plain.window == 0 || j > position - plain.window);
              ASSERT_EQ(row[j] == 0, !seen) << "position " << position << " key " << j;
              sum += row[j];
            }
            if (shape.sinks) {
              ASSERT_LT(sum, 1);
            } else {
              ASSERT_NEAR(sum, 1, 1e-6);
            }
            ASSERT_EQ(row[span.context], -77) << "wrote beyond the context";
          }
        }
      }

      std::fill(out.begin(), out.end(), -77.0f);
      RunSplit(KvMixImpls()[i],
               KvMixArgs{.weights = scores.data(),
                         .weights_stride = stride,
                         .out = out.data(),
                         .out_stride = fused.out_stride,
                         .heads = shape.heads,
                         .cache = fused.cache,
                         .layer = fused.layer,
                         .sequences = fused.sequences,
                         .num_sequences = fused.num_sequences},
               units);
      for (size_t k = 0; k < want.size(); ++k) ASSERT_NEAR(out[k], want[k], 4e-6) << k;
    }
  }
}

TEST(PlainAttentionTest, BothDirectionsOverTheStepsRows) {
  std::mt19937 rng(4);
  const AttentionShape shape = {
      .heads = 4, .kv_heads = 2, .dim = 40, .sequences = {{1, 1}, {40, 40}, {20, 20}}};
  AttentionCase c(rng, shape);
  std::vector<float> out(c.rows() * c.width());
  const AttentionArgs fused = c.StepArgs(rng, out.data());
  const std::vector<double> want = reference::Attention(fused);
  const size_t stride = 43, units = c.rows() * shape.heads;
  for (size_t i = 0; i < KvScoresImpls().size(); ++i) {
    if ((KvScoresImpls()[i].required_features & ~DetectedCpuFeatures()) != 0) continue;
    SCOPED_TRACE(KvScoresImpls()[i].name);
    std::vector<float> scores(units * stride, -77);
    RunSplit(KvScoresImpls()[i],
             KvScoresArgs{.q = fused.q,
                          .q_stride = fused.q_stride,
                          .scores = scores.data(),
                          .scores_stride = stride,
                          .heads = shape.heads,
                          .cache = fused.cache,
                          .layer = 0,
                          .sequences = fused.sequences,
                          .num_sequences = fused.num_sequences,
                          .rows = fused.rows},
             units);
    for (float& v : scores) v = v == -77 ? v : v * fused.scale;
    RunSplit(MaskedSoftmaxImpls()[i],
             MaskedSoftmaxArgs{.scores = scores.data(),
                               .scores_stride = stride,
                               .heads = shape.heads,
                               .sequences = fused.sequences,
                               .num_sequences = fused.num_sequences,
                               .window = 0,
                               .causal = false},
             units);
    RunSplit(KvMixImpls()[i],
             KvMixArgs{.weights = scores.data(),
                       .weights_stride = stride,
                       .out = out.data(),
                       .out_stride = fused.out_stride,
                       .heads = shape.heads,
                       .cache = fused.cache,
                       .layer = 0,
                       .sequences = fused.sequences,
                       .num_sequences = fused.num_sequences,
                       .rows = fused.rows},
             units);
    for (size_t k = 0; k < want.size(); ++k) ASSERT_NEAR(out[k], want[k], 4e-6) << k;
  }
}

}  // namespace
}  // namespace pelton
