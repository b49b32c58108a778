#include "kernels/ops/compressed.h"

#include <algorithm>
#include <cmath>
#include <numeric>

#include "kernels/cpu/test_rows.h"
#include "kernels/ops/indexer.h"
#include "kernels/ops/rope.h"
#include "kernels/reference/compressed.h"
#include "kernels/reference/half.h"
#include "kernels/reference/rows.h"

namespace pelton {
namespace {

struct Shape {
  KvDType dtype;
  size_t dim, ratio, index_dim, heads, window, top, block_tokens, context;
  bool overlap;
};

constexpr size_t kLayer = 1, kHalf = 2;

// A sequence with everything that its layer reads, in a cache of scattered blocks. Where windows
// overlap an indexer, with entries of its own, chooses.
class CompressedCase {
 public:
  CompressedCase(std::mt19937& rng, const Shape& shape)
      : s_(shape),
        cols_((shape.overlap ? 2 : 1) * shape.dim),
        index_cols_(2 * shape.index_dim),
        cache_(CacheOf(shape)),
        bytes_(cache_.num_blocks * cache_.BlockBytes()) {
    cache_.data = bytes_.data();
    order_.resize(cache_.num_blocks);
    std::iota(order_.begin(), order_.end(), 0);
    std::shuffle(order_.begin(), order_.end(), rng);
    const auto rows = [&](size_t cols) { return Stored(RandomValues(rng, s_.context * cols)); };
    keys_ = rows(s_.dim);
    values_ = rows(cols_);
    gates_ = rows(cols_);
    index_values_ = rows(index_cols_);
    index_gates_ = rows(index_cols_);
    bias_ = RandomValues(rng, s_.ratio * cols_);
    index_bias_ = RandomValues(rng, s_.ratio * index_cols_);
    norm_ = RandomValues(rng, std::max(s_.dim, s_.index_dim));
    sinks_ = RandomValues(rng, s_.heads);
    q_ = RandomValues(rng, s_.context * s_.heads * s_.dim);
    index_q_ = RandomValues(rng, s_.context * 2 * s_.index_dim);
    index_weights_ = RandomValues(rng, s_.context * 2);
    std::vector<int32_t> positions(s_.context);
    std::iota(positions.begin(), positions.end(), 0);
    table_.resize(s_.context * 2 * kHalf);
    const RopeTableArgs table{.positions = positions.data(),
                              .frequencies = kFrequencies,
                              .table = table_.data(),
                              .tokens = s_.context,
                              .half = kHalf,
                              .magnitude = 1,
                              .multiple = static_cast<int32_t>(s_.ratio)};
    RopeTableImpls()[0].run(table, 0, s_.context, nullptr);
  }

  // Attention's results [context, heads * dim], found with implementation `i` of every op in steps
  // of at most `chunk` tokens.
  std::vector<float> InSteps(size_t i, size_t chunk) {
    std::vector<float> out(s_.context * s_.heads * s_.dim, -77);
    for (size_t begin = 0; begin < s_.context; begin += chunk) {
      Step(i, begin, std::min(chunk, s_.context - begin), out.data());
    }
    return out;
  }

  std::vector<double> Want(size_t row, size_t head, const std::vector<int32_t>& chosen) const {
    std::vector<std::vector<double>> keys;
    for (size_t p = row + 1 > s_.window ? row + 1 - s_.window : 0; p <= row; ++p) {
      keys.emplace_back(keys_.begin() + static_cast<std::ptrdiff_t>(p * s_.dim),
                        keys_.begin() + static_cast<std::ptrdiff_t>((p + 1) * s_.dim));
    }
    CompressArgs args = Compressing(false);
    for (const int32_t entry : chosen) {
      const auto e = static_cast<size_t>(entry);
      keys.push_back(reference::Entry(args, values_, gates_, e, &table_[e * s_.ratio * 2 * kHalf]));
    }
    return reference::AttentionOver(keys, &q_[(row * s_.heads + head) * s_.dim], kScale,
                                    sinks_[head]);
  }

  // Of a row, by the definition.
  std::vector<double> IndexScores(size_t row) const {
    const CompressArgs args = Compressing(true);
    std::vector<double> scores;
    for (size_t e = 0; e < (row + 1) / s_.ratio; ++e) {
      const std::vector<double> key =
          reference::Entry(args, index_values_, index_gates_, e, &table_[e * s_.ratio * 2 * kHalf]);
      double score = 0;
      for (size_t h = 0; h < 2; ++h) {
        const float* q = &index_q_[(row * 2 + h) * s_.index_dim];
        score += index_weights_[row * 2 + h] *
                 std::max(std::inner_product(key.begin(), key.end(), q, 0.0), 0.0);
      }
      scores.push_back(score);
    }
    return scores;
  }
  // What was chosen for a row in the last run.
  std::vector<int32_t> Chosen(size_t row) const {
    std::vector<int32_t> out;
    if (!s_.overlap) {
      out.resize((row + 1) / s_.ratio);
      std::iota(out.begin(), out.end(), 0);
      return out;
    }
    for (size_t k = 0; k < s_.top; ++k) {
      if (chosen_[row * s_.top + k] >= 0) out.push_back(chosen_[row * s_.top + k]);
    }
    return out;
  }

 private:
  static constexpr float kFrequencies[kHalf] = {0.9f, 0.11f};
  static constexpr float kScale = 0.2f;

  static KvCacheView CacheOf(const Shape& s) {
    const size_t lanes = s.overlap ? 4 * s.dim + 4 * s.index_dim : 2 * s.dim;
    return {.data = nullptr,
            .dtype = s.dtype,
            .num_blocks = DivUp(s.context, s.block_tokens),
            .layers = 2,
            .kv_heads = 1,
            .head_dim = s.dim,
            .block_tokens = s.block_tokens,
            .value_dim = s.dim,
            .index_dim = lanes + 3};
  }
  // As the cache holds them.
  std::vector<float> Stored(std::vector<float> x) const {
    if (s_.dtype == KvDType::kF16) {
      for (float& v : x) v = HalfToFloat(reference::RoundToHalf(v));
    }
    return x;
  }

  CompressArgs Compressing(bool index) const {
    CompressArgs args{};
    args.bias = index ? index_bias_.data() : bias_.data();
    args.norm = norm_.data();
    args.table = table_.data();
    args.ratio = s_.ratio;
    args.dim = index ? s_.index_dim : s_.dim;
    args.cols = index ? index_cols_ : cols_;
    args.half = kHalf;
    args.epsilon = 1e-6f;
    args.cache = cache_;
    args.layer = kLayer;
    args.first_lane = index ? 2 * cols_ : 0;
    return args;
  }

  void Step(size_t i, size_t begin, size_t count, float* out) {
    std::vector<int32_t> slots;
    for (size_t p = begin; p < begin + count; ++p) {
      slots.push_back(
          static_cast<int32_t>(static_cast<size_t>(order_[p / s_.block_tokens]) * s_.block_tokens +
                               p % s_.block_tokens));
    }
    const SequenceSpan span{0, static_cast<int32_t>(count), static_cast<int32_t>(begin + count),
                            order_.data()};
    const KvWriteArgs keys{.k = &keys_[begin * s_.dim],
                           .v = nullptr,
                           .k_stride = s_.dim,
                           .v_stride = 0,
                           .tokens = count,
                           .cache = cache_,
                           .layer = kLayer,
                           .slots = slots.data()};
    RunSplit(KvWriteImpls()[i], keys, count);
    Compress(i, false, begin, count, slots, span);
    CompressedAttentionArgs args{};
    args.q = &q_[begin * s_.heads * s_.dim];
    args.out = out + begin * s_.heads * s_.dim;
    args.q_stride = args.out_stride = s_.heads * s_.dim;
    args.heads = s_.heads;
    args.sinks = sinks_.data();
    args.scale = kScale;
    args.window = s_.window;
    args.ratio = s_.ratio;
    args.entry_lane = cols_ - s_.dim;
    args.tokens = count;
    args.cache = cache_;
    args.layer = kLayer;
    args.sequences = &span;
    args.num_sequences = 1;
    if (s_.overlap) {
      Compress(i, true, begin, count, slots, span);
      args.entries = Choose(i, begin, count, span);
      args.top = s_.top;
    }
    const AlignedBytes scratch(CompressedAttentionScratchBytes(args));
    RunSplit(CompressedAttentionImpls()[i], args, CompressedAttentionUnits(args), scratch.data());
  }

  void Compress(size_t i, bool index, size_t begin, size_t count, const std::vector<int32_t>& slots,
                const SequenceSpan& span) const {
    CompressArgs args = Compressing(index);
    CompressWriteArgs write{};
    write.cols = write.value_stride = write.gate_stride = args.cols;
    write.value = &(index ? index_values_ : values_)[begin * args.cols];
    write.gate = &(index ? index_gates_ : gates_)[begin * args.cols];
    write.tokens = count;
    write.cache = cache_;
    write.layer = kLayer;
    write.first_lane = args.first_lane;
    write.slots = slots.data();
    RunSplit(CompressWriteImpls()[i], write, count);
    args.table = &table_[begin * 2 * kHalf];
    args.tokens = count;
    args.sequences = &span;
    args.num_sequences = 1;
    const AlignedBytes scratch(CompressScratchBytes(args));
    RunSplit(CompressImpls()[i], args, count, scratch.data());
  }

  const int32_t* Choose(size_t i, size_t begin, size_t count, const SequenceSpan& span) {
    IndexScoresArgs args{};
    std::vector<float> scores(count * s_.context);
    args.q = &index_q_[begin * 2 * s_.index_dim];
    args.weights = &index_weights_[begin * 2];
    args.scores = scores.data();
    args.q_stride = 2 * s_.index_dim;
    args.weights_stride = 2;
    args.scores_stride = s_.context;
    args.tokens = count;
    args.heads = 2;
    args.cache = cache_;
    args.layer = kLayer;
    args.sequences = &span;
    args.num_sequences = 1;
    args.ratio = s_.ratio;
    args.first_lane = 2 * cols_ + s_.index_dim;
    args.dim = s_.index_dim;
    const AlignedBytes scratch(IndexScoresScratchBytes(args));
    RunSplit(IndexScoresImpls()[i], args, IndexScoresUnits(args), scratch.data());
    for (size_t row = 0; row < count; ++row) {
      const std::vector<double> want = IndexScores(begin + row);
      for (size_t e = 0; e < want.size(); ++e) {
        EXPECT_NEAR(scores[row * s_.context + e], want[e],
                    (s_.dtype == KvDType::kF32 ? 1e-4 : 2e-2) * (1 + std::abs(want[e])));
      }
    }
    chosen_.resize(s_.context * s_.top);
    TopPositionsArgs top{};
    top.scores = scores.data();
    top.positions = &chosen_[begin * s_.top];
    top.scores_stride = s_.context;
    top.tokens = count;
    top.top = s_.top;
    top.sequences = &span;
    top.num_sequences = 1;
    top.ratio = s_.ratio;
    RunSplit(TopPositionsImpls()[0], top, count);
    return top.positions;
  }

  const Shape s_;
  const size_t cols_;
  const size_t index_cols_;
  KvCacheView cache_;
  AlignedBytes bytes_;
  std::vector<int32_t> order_;  // blocks of the sequence
  std::vector<float> keys_, values_, gates_, index_values_, index_gates_;
  std::vector<float> bias_, index_bias_, norm_, sinks_, q_, index_q_, index_weights_, table_;
  std::vector<int32_t> chosen_;
};

void CheckShape(std::mt19937& rng, const Shape& shape) {
  CompressedCase c(rng, shape);
  for (size_t i = 0; i < CompressedAttentionImpls().size(); ++i) {
    const auto& impl = CompressedAttentionImpls()[i];
    if ((impl.required_features & ~DetectedCpuFeatures()) != 0) continue;
    SCOPED_TRACE(impl.name);
    const std::vector<float> out = c.InSteps(i, shape.context);
    for (const size_t chunk : {size_t{1}, 1 + rng() % shape.context}) {
      const std::vector<float> again = c.InSteps(i, chunk);
      ASSERT_TRUE(SameBits(again.data(), out.data(), out.size())) << "chunks of " << chunk;
    }
    const double tolerance = shape.dtype == KvDType::kF32 ? 2e-5 : 1e-2;
    for (size_t row = 0; row < shape.context; ++row) {
      const std::vector<int32_t> chosen = c.Chosen(row);
      ASSERT_EQ(chosen.size(), shape.overlap ? std::min(shape.top, (row + 1) / shape.ratio)
                                             : (row + 1) / shape.ratio);
      for (size_t h = 0; h < shape.heads; ++h) {
        const std::vector<double> want = c.Want(row, h, chosen);
        for (size_t d = 0; d < shape.dim; ++d) {
          ASSERT_NEAR(out[(row * shape.heads + h) * shape.dim + d], want[d],
                      tolerance * (1 + std::abs(want[d])))
              << "row " << row << " head " << h << " lane " << d;
        }
      }
    }
  }
}

TEST(CompressedTest, AttendsToWindowAndEntriesHoweverItIsCut) {
  std::mt19937 rng(11);
  const auto pick = [&](std::initializer_list<size_t> from) {
    return *(from.begin() + static_cast<std::ptrdiff_t>(rng() % from.size()));
  };
  for (int round = 0; round < 24; ++round) {
    SCOPED_TRACE(round);
    CheckShape(rng, {.dtype = round % 2 == 0 ? KvDType::kF32 : KvDType::kF16,
                     .dim = pick({16, 32, 64}),
                     .ratio = pick({2, 4, 16}),
                     .index_dim = pick({6, 8, 20, 32}),
                     .heads = pick({1, 3, 8, 11}),
                     .window = pick({1, 5, 12, 300}),
                     .top = pick({1, 4, 50}),
                     .block_tokens = pick({1, 8, 32}),
                     .context = pick({3, 17, 40, 70}),
                     .overlap = rng() % 2 == 0});
  }
}

TEST(CompressedTest, MoreKeysThanAPartition) {
  std::mt19937 rng(12);
  for (const KvDType dtype : {KvDType::kF32, KvDType::kF16}) {
    CheckShape(rng, {.dtype = dtype,
                     .dim = 16,
                     .ratio = 2,
                     .index_dim = 8,
                     .heads = 2,
                     .window = 220,
                     .top = 100,
                     .block_tokens = 32,
                     .context = 330,
                     .overlap = false});
  }
}

}  // namespace
}  // namespace pelton
