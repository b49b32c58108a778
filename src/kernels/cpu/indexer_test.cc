#include "kernels/ops/indexer.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <limits>

#include "kernels/cpu/attention_case.h"
#include "kernels/cpu/indexer_units.h"
#include "kernels/reference/attention.h"
#include "kernels/reference/indexer.h"

namespace pelton {
namespace cpu::amx_emulated {
void PromptAttention(const AttentionArgs&, size_t, size_t, std::byte*) noexcept;
}
namespace {

constexpr float kSentinel = 12345;

struct IndexShape {
  size_t heads;
  size_t dim;
  KvDType dtype;
  size_t block_tokens;
  std::vector<int32_t> contexts;
};

IndexShape RandomIndexShape(std::mt19937& rng) {
  const auto pick = [&](std::initializer_list<size_t> from) {
    return *(from.begin() + static_cast<std::ptrdiff_t>(rng() % from.size()));
  };
  IndexShape shape{.heads = pick({1, 2, 7, 16, 64}),
                   .dim = pick({4, 8, 20, 32, 128}),
                   .dtype = std::vector{KvDType::kF32, KvDType::kF16, KvDType::kFp8}[rng() % 3],
                   .block_tokens = pick({1, 16, 32, 100}),
                   .contexts = {}};
  for (size_t s = 0; s < 1 + rng() % 3; ++s) {
    shape.contexts.push_back(static_cast<int32_t>(pick({1, 7, 40, 64, 90, 257, 300})));
  }
  return shape;
}

// Sequences with queries and keys of an indexer for every token, in a cache of scattered blocks.
class IndexCase {
 public:
  IndexCase(std::mt19937& rng, const IndexShape& shape)
      : s_(shape), cache_(CacheOf(shape)), bytes_(cache_.num_blocks * cache_.BlockBytes()) {
    std::memset(bytes_.data(), 0xff, bytes_.size());
    cache_.data = bytes_.data();
    order_.resize(cache_.num_blocks);
    std::iota(order_.begin(), order_.end(), 0);
    std::shuffle(order_.begin(), order_.end(), rng);
    for (const int32_t context : s_.contexts) {
      first_tokens_.push_back(tokens_);
      tokens_ += static_cast<size_t>(context);
    }
    q_ = RandomValues(rng, tokens_ * QCols());
    k_ = RandomValues(rng, tokens_ * s_.dim);
    weights_ = RandomValues(rng, tokens_ * s_.heads);
  }

  // The scores of every token, found in steps of random chunks of all sequences.
  std::vector<std::vector<float>> InSteps(std::mt19937& rng, const OpImpl<IndexWriteArgs>& write,
                                          const OpImpl<IndexScoresArgs>& score) {
    std::vector<std::vector<float>> out(tokens_);
    std::vector<int32_t> done(s_.contexts.size());
    while (done != s_.contexts) Step(rng, write, score, done, out);
    return out;
  }

 private:
  static KvCacheView CacheOf(const IndexShape& shape) {
    size_t blocks = 0;
    for (const int32_t context : shape.contexts) {
      blocks += DivUp(static_cast<size_t>(context), shape.block_tokens);
    }
    return {.data = nullptr,
            .dtype = shape.dtype,
            .num_blocks = blocks,
            .layers = 3,
            .kv_heads = 1,
            .head_dim = kFp8Group + 2,
            .block_tokens = shape.block_tokens,
            .value_dim = kFp8Group,
            .index_dim = shape.dim};
  }
  size_t QCols() const { return s_.heads * s_.dim; }
  const int32_t* TableOf(size_t s) const {
    size_t first = 0;
    for (size_t i = 0; i < s; ++i) {
      first += DivUp(static_cast<size_t>(s_.contexts[i]), s_.block_tokens);
    }
    return order_.data() + first;
  }

  void Step(std::mt19937& rng, const OpImpl<IndexWriteArgs>& write,
            const OpImpl<IndexScoresArgs>& score, std::vector<int32_t>& done,
            std::vector<std::vector<float>>& out) {
    std::vector<SequenceSpan> spans;
    std::vector<int32_t> slots;
    std::vector<size_t> tokens;  // of the case, for each row of the step
    int32_t longest = 0;
    for (size_t s = 0; s < done.size(); ++s) {
      const int32_t left = s_.contexts[s] - done[s];
      if (left == 0) continue;
      const int32_t count = 1 + static_cast<int32_t>(rng() % static_cast<uint32_t>(left));
      spans.push_back({static_cast<int32_t>(tokens.size()), count, done[s] + count, TableOf(s)});
      longest = std::max(longest, done[s] + count);
      for (int32_t i = 0; i < count; ++i) {
        const auto position = static_cast<size_t>(done[s]) + static_cast<size_t>(i);
        tokens.push_back(first_tokens_[s] + position);
        slots.push_back(static_cast<int32_t>(
            static_cast<size_t>(TableOf(s)[position / s_.block_tokens]) * s_.block_tokens +
            position % s_.block_tokens));
      }
      done[s] += count;
    }
    const size_t q_stride = QCols() + 3, k_stride = s_.dim + 1, weights_stride = s_.heads + 2;
    const size_t scores_stride = static_cast<size_t>(longest) + 1;
    const std::vector<float> q = RowsOf(q_, tokens, QCols(), q_stride);
    const std::vector<float> k = RowsOf(k_, tokens, s_.dim, k_stride);
    const std::vector<float> weights = RowsOf(weights_, tokens, s_.heads, weights_stride);
    RunSplit(write,
             IndexWriteArgs{.k = k.data(),
                            .k_stride = k_stride,
                            .tokens = tokens.size(),
                            .cache = cache_,
                            .layer = 1,
                            .slots = slots.data()},
             tokens.size());
    std::vector<float> scores(tokens.size() * scores_stride, kSentinel);
    const IndexScoresArgs args{.q = q.data(),
                               .weights = weights.data(),
                               .scores = scores.data(),
                               .q_stride = q_stride,
                               .weights_stride = weights_stride,
                               .scores_stride = scores_stride,
                               .tokens = tokens.size(),
                               .heads = s_.heads,
                               .cache = cache_,
                               .layer = 1,
                               .sequences = spans.data(),
                               .num_sequences = spans.size()};
    const AlignedBytes scratch(IndexScoresScratchBytes(args));
    RunSplit(score, args, IndexScoresUnits(args), scratch.data());
    for (const SequenceSpan& span : spans) {
      for (int32_t i = 0; i < span.count; ++i) {
        const auto row = static_cast<size_t>(span.first_row) + static_cast<size_t>(i);
        const float* got = &scores[row * scores_stride];
        const std::vector<double> want = reference::IndexScores(args, span, row);
        for (size_t j = 0; j < want.size(); ++j) {
          const double bound = 1e-6 * static_cast<double>(s_.heads * s_.dim);
          ASSERT_NEAR(got[j], want[j], bound) << "row " << row << " key " << j;
        }
        for (size_t j = want.size(); j < scores_stride; ++j) ASSERT_EQ(got[j], kSentinel);
        out[tokens[row]].assign(got, got + want.size());
      }
    }
  }

  static std::vector<float> RowsOf(const std::vector<float>& from, const std::vector<size_t>& rows,
                                   size_t cols, size_t stride) {
    std::vector<float> out(rows.size() * stride, std::numeric_limits<float>::quiet_NaN());
    for (size_t i = 0; i < rows.size(); ++i) {
      std::copy_n(&from[rows[i] * cols], cols, &out[i * stride]);
    }
    return out;
  }

  IndexShape s_;
  KvCacheView cache_;
  AlignedBytes bytes_;
  size_t tokens_ = 0;
  std::vector<size_t> first_tokens_;  // of each sequence, among all tokens
  std::vector<int32_t> order_;        // blocks, those of a sequence after each other
  std::vector<float> q_, k_, weights_;
};

TEST(IndexerTest, ScoresMatchReferenceAndDoNotDependOnSteps) {
  for (uint32_t seed = 1; seed <= 25; ++seed) {
    SCOPED_TRACE(seed);
    std::mt19937 rng(seed);
    IndexCase c(rng, RandomIndexShape(rng));
    for (size_t i = 0; i < IndexScoresImpls().size(); ++i) {
      const OpImpl<IndexScoresArgs>& impl = IndexScoresImpls()[i];
      if ((impl.required_features & ~DetectedCpuFeatures()) != 0) continue;
      SCOPED_TRACE(impl.name);
      const auto first = c.InSteps(rng, IndexWriteImpls()[i], impl);
      if (HasFatalFailure()) return;
      EXPECT_EQ(c.InSteps(rng, IndexWriteImpls()[i], impl), first);
    }
  }
}

TEST(IndexerTest, ContiguousPartsOfAPromptScoreSimilarNumbersOfKeys) {
  const SequenceSpan span{0, 1000, 1500, nullptr};
  IndexScoresArgs args{};
  args.tokens = 1000;
  args.sequences = &span;
  args.num_sequences = 1;
  const size_t units = IndexScoresUnits(args);
  std::vector<size_t> keys(4);
  for (size_t u = 0; u < units; ++u) {
    const cpu::IndexUnit unit = cpu::IndexUnitOf(args, u);
    if (unit.begin < unit.end) keys[u * 4 / units] += unit.end - unit.begin;
  }
  const size_t all = keys[0] + keys[1] + keys[2] + keys[3];
  EXPECT_EQ(all, 1000u * (501 + 1500) / 2);
  for (const size_t part : keys) EXPECT_NEAR(static_cast<double>(part), all / 4.0, all / 100.0);
}

// The positions of each row of some sequences, every impl's.
void CheckTopPositions(std::mt19937& rng, const std::vector<std::pair<int32_t, int32_t>>& counts,
                       size_t top, const std::vector<float>& values) {
  std::vector<SequenceSpan> spans;
  int32_t rows = 0, longest = 0;
  for (const auto& [count, context] : counts) {
    spans.push_back({rows, count, context, nullptr});
    rows += count;
    longest = std::max(longest, context);
  }
  const auto tokens = static_cast<size_t>(rows), stride = static_cast<size_t>(longest);
  std::vector<float> scores(tokens * stride);
  for (float& x : scores) x = values[rng() % values.size()];
  ForEachImpl(TopPositionsImpls(), [&](const OpImpl<TopPositionsArgs>& impl) {
    std::vector<int32_t> positions(tokens * top, 77);
    RunSplit(impl,
             TopPositionsArgs{.scores = scores.data(),
                              .positions = positions.data(),
                              .scores_stride = stride,
                              .tokens = tokens,
                              .top = top,
                              .sequences = spans.data(),
                              .num_sequences = spans.size()},
             tokens);
    for (const SequenceSpan& span : spans) {
      for (int32_t i = 0; i < span.count; ++i) {
        const auto row = static_cast<size_t>(span.first_row) + static_cast<size_t>(i);
        const float* begin = &scores[row * stride];
        const std::vector<float> seen(begin, begin + span.context - span.count + i + 1);
        ASSERT_EQ(std::vector<int32_t>(&positions[row * top], &positions[row * top] + top),
                  reference::TopPositions(seen, top))
            << "row " << row;
      }
    }
  });
}

TEST(IndexerTest, TopPositionsAreThoseOfASort) {
  std::mt19937 rng(3);
  const std::vector<float> spread = RandomValues(rng, 1000);
  const float infinity = std::numeric_limits<float>::infinity();
  const std::vector<float> ties = {0.0f, -0.0f, 1, 1.0000001f, -1, -1.0000001f, 3e-40f, -3e-40f};
  const std::vector<float> odd = {infinity, -infinity, std::nanf(""), -std::nanf(""), 0, 1e38f};
  for (const std::vector<float>* values : {&spread, &ties, &odd}) {
    for (const size_t top : {1, 2, 16, 63, 64, 500}) {
      SCOPED_TRACE(top);
      CheckTopPositions(rng, {{3, 3}, {1, 64}, {40, 300}, {2, 2}, {17, 17}}, top, *values);
    }
  }
}

// Random choices for each row of a case.
std::vector<int32_t> RandomPositions(std::mt19937& rng, const std::vector<SequenceSpan>& spans,
                                     size_t top) {
  std::vector<int32_t> out;
  for (const SequenceSpan& span : spans) {
    for (int32_t i = 0; i < span.count; ++i) {
      const auto seen = static_cast<size_t>(span.context) - static_cast<size_t>(span.count) +
                        static_cast<size_t>(i) + 1;
      const std::vector<int32_t> row = reference::TopPositions(RandomValues(rng, seen), top);
      out.insert(out.end(), row.begin(), row.end());
    }
  }
  return out;
}

std::vector<float> Attend(const OpImpl<AttentionArgs>& impl, AttentionArgs args, size_t rows) {
  std::vector<float> out(rows * args.out_stride);
  args.out = out.data();
  const AlignedBytes scratch(AttentionScratchBytes(args));
  RunSplit(impl, args, AttentionUnits(args), scratch.data());
  return out;
}

AttentionShape SparseShape(std::mt19937& rng) {
  AttentionShape shape;
  shape.heads = std::vector<size_t>{1, 5, 16, 150}[rng() % 4];
  shape.kv_heads = 1;
  shape.dim = std::vector<size_t>{8, 40, 64, 128, 256}[rng() % 5];
  shape.rope_dim = std::vector<size_t>{4, 8, 32}[rng() % 3];
  shape.dtype = rng() % 2 == 0 ? KvDType::kF32 : KvDType::kF16;
  if (shape.dim % kFp8Group == 0) shape.dtype = KvDType::kFp8;
  shape.block_tokens = std::vector<size_t>{1, 16, 32}[rng() % 3];
  shape.sequences = {{3, 3}, {1, 290}, {20, 70}};
  return shape;
}

TEST(SparseAttentionTest, MatchesReferenceAndDoesNotDependOnNeighbours) {
  for (uint32_t seed = 1; seed <= 20; ++seed) {
    SCOPED_TRACE(seed);
    std::mt19937 rng(seed);
    AttentionCase c(rng, SparseShape(rng));
    for (const size_t top : {1, 16, 260}) {
      SCOPED_TRACE(top);
      const std::vector<int32_t> positions = RandomPositions(rng, c.spans(), top);
      AttentionArgs args = c.Args(nullptr);
      args.positions = positions.data();
      args.top = top;
      const std::vector<double> want = reference::Attention(args);
      ForEachImpl(AttentionImpls(), [&](const OpImpl<AttentionArgs>& impl) {
        const std::vector<float> got = Attend(impl, args, c.rows());
        for (size_t i = 0; i < want.size(); ++i) ASSERT_NEAR(got[i], want[i], 4e-6) << i;
        // Each row as the last of a step of its own.
        for (const SequenceSpan& span : c.spans()) {
          for (int32_t i = 0; i < span.count; ++i) {
            const SequenceSpan alone{0, 1, span.context - span.count + i + 1, span.block_table};
            const auto row = static_cast<size_t>(span.first_row) + static_cast<size_t>(i);
            AttentionArgs one = args;
            one.sequences = &alone;
            one.num_sequences = 1;
            one.q += row * one.q_stride;
            one.q_rope += row * one.q_rope_stride;
            one.positions += row * top;
            const std::vector<float> again = Attend(impl, one, 1);
            ASSERT_TRUE(SameBits(again.data(), &got[row * c.width()], c.width())) << row;
          }
        }
      });
    }
  }
}

TEST(SparseAttentionTest, OverAllPositionsHasTheBitsOfDenseAttention) {
  for (uint32_t seed = 1; seed <= 12; ++seed) {
    SCOPED_TRACE(seed);
    std::mt19937 rng(seed);
    AttentionCase c(rng, SparseShape(rng));
    const AttentionArgs dense = c.Args(nullptr);
    for (const size_t top : {290, 1000}) {
      const std::vector<int32_t> positions = RandomPositions(rng, c.spans(), top);
      AttentionArgs sparse = dense;
      sparse.positions = positions.data();
      sparse.top = top;
      ForEachImpl(AttentionImpls(), [&](const OpImpl<AttentionArgs>& impl) {
        EXPECT_EQ(Attend(impl, sparse, c.rows()), Attend(impl, dense, c.rows()));
      });
    }
  }
}

TEST(SparseAttentionTest, OfPromptsIsNearReference) {
  const OpImpl<AttentionArgs> impl{"amx_emulated", kCpuGeneric, cpu::amx_emulated::PromptAttention};
  for (uint32_t seed = 1; seed <= 4; ++seed) {
    SCOPED_TRACE(seed);
    std::mt19937 rng(seed);
    AttentionShape shape = SparseShape(rng);
    shape.dim = shape.dtype == KvDType::kFp8 ? 128 : 64;
    shape.rope_dim = 32;
    AttentionCase c(rng, shape);
    const std::vector<int32_t> positions = RandomPositions(rng, c.spans(), 40);
    AttentionArgs args = c.Args(nullptr);
    args.positions = positions.data();
    args.top = 40;
    const std::vector<double> want = reference::Attention(args);
    const std::vector<float> got = Attend(impl, args, c.rows());
    for (size_t i = 0; i < want.size(); ++i) ASSERT_NEAR(got[i], want[i], 0.03) << i;
  }
}

TEST(SparseAttentionTest, ScoresThatAreNotKeptBecomeMinusInfinity) {
  constexpr size_t kHeads = 2, kTop = 3, kStride = 6;
  const SequenceSpan spans[] = {{0, 1, 5, nullptr}, {1, 2, 2, nullptr}};
  const std::vector<int32_t> positions = {0, 2, 4, 0, -1, -1, 0, 1, -1};
  std::vector<float> scores(3 * kHeads * kStride, 1);
  RunSplit(KeepPositionsImpls()[0],
           KeepPositionsArgs{.scores = scores.data(),
                             .scores_stride = kStride,
                             .heads = kHeads,
                             .positions = positions.data(),
                             .top = kTop,
                             .sequences = spans,
                             .num_sequences = 2},
           3 * kHeads);
  const float no = -std::numeric_limits<float>::infinity();
  const std::vector<std::vector<float>> want = {
      {1, no, 1, no, 1, 1}, {1, no, 1, 1, 1, 1}, {1, 1, 1, 1, 1, 1}};
  for (size_t pair = 0; pair < 3 * kHeads; ++pair) {
    const float* row = &scores[pair * kStride];
    EXPECT_EQ(std::vector<float>(row, row + kStride), want[pair / kHeads]) << pair;
  }
}

}  // namespace
}  // namespace pelton
