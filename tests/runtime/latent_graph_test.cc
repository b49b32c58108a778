// A model's attention over a latent cache, dense and of the positions that an indexer chooses, from
// graph to kernels: at every fusion level and however a sequence is cut, the result is that of the
// formula.
#include <fmt/format.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <numeric>
#include <random>

#include "base/checked_math.h"
#include "graph/execute/graph_executor.h"
#include "graph/passes/passes.h"

namespace pelton {
namespace {

constexpr size_t kHeads = 3, kLatent = 128, kRope = 8, kVocab = 50, kContext = 70;
constexpr size_t kIndexHeads = 4, kIndexDim = 12;
constexpr size_t kKeyCols = kLatent + kRope, kIndexAt = kHeads * kKeyCols + kKeyCols;
constexpr size_t kWidth = kIndexAt + kIndexHeads * kIndexDim + kIndexHeads + kIndexDim;
constexpr double kScale = 0.2, kEpsilon = 1e-6;
constexpr double kFrequencies[kRope / 2] = {1, 0.5, 0.25, 0.125};

// Each id has a row [q | q_rope | latent | k_rope | the indexer's q, weights and k] in `table`; the
// output is what attention makes of them. `top` is of the indexer; 0: none.
Graph BuildGraph(const std::vector<float>& table, const std::vector<float>& norm, size_t top) {
  Graph graph;
  graph.name = "latent";
  const Shape rows{Dim(1, Symbol::kTokens)};
  const ValueId tokens = graph.AddInput("tokens", ElementType::kI32, rows);
  const ValueId positions = graph.AddInput("positions", ElementType::kI32, rows);
  const ValueId slots = graph.AddInput("slots", ElementType::kI32, rows);
  const ValueId logit_rows =
      graph.AddInput("logit_rows", ElementType::kI32, Shape{Dim(1, Symbol::kLogitRows)});
  const ValueId stored = graph.AddStored(
      {"table", DType::kF32, kVocab, kWidth, std::as_bytes(std::span<const float>(table))});
  const ValueId x = graph.Add(OpKind::kEmbedding, {tokens, stored});
  const ValueId frequencies = graph.AddNumbers(
      "frequencies", std::vector<float>(std::begin(kFrequencies), std::end(kFrequencies)));
  const ValueId angles =
      graph.Add(OpKind::kRopeTable, {positions, frequencies}, {{"magnitude", 1.0}});
  int64_t begin = 0;
  const auto next = [&](size_t count) {
    const auto cols = static_cast<int64_t>(count);
    begin += cols;
    return graph.Add(OpKind::kSliceCols, {x}, {{"begin", begin - cols}, {"count", cols}});
  };
  const auto rotated = [&](ValueId value, int64_t heads) {
    return graph.Add(OpKind::kRope, {value, angles},
                     {{"heads", heads}, {"interleaved", int64_t{1}}});
  };
  const std::map<std::string, Attribute, std::less<>> heads = {
      {"heads", static_cast<int64_t>(kHeads)}, {"kv_heads", int64_t{1}}, {"layer", int64_t{1}}};
  const ValueId q = next(kHeads * kLatent);
  const ValueId q_rope = rotated(next(kHeads * kRope), kHeads);
  const ValueId latent =
      graph.Add(OpKind::kRmsNorm, {next(kLatent), graph.AddNumbers("norm", norm)},
                {{"epsilon", kEpsilon}, {"groups", int64_t{1}}});
  const ValueId cache = graph.Add(OpKind::kKvWrite, {latent, rotated(next(kRope), 1), slots},
                                  {{"layer", int64_t{1}}});
  ValueId scores = graph.Add(OpKind::kKvScores, {q, cache, q_rope}, heads);
  scores = graph.Add(OpKind::kScale, {scores}, {{"by", kScale}});
  if (top != 0) {
    const int64_t layer = 1;
    const ValueId index_q = next(kIndexHeads * kIndexDim), index_weights = next(kIndexHeads);
    const ValueId keys =
        graph.Add(OpKind::kIndexWrite, {next(kIndexDim), slots}, {{"layer", layer}});
    const ValueId index_scores =
        graph.Add(OpKind::kIndexScores, {index_q, index_weights, keys},
                  {{"heads", static_cast<int64_t>(kIndexHeads)}, {"layer", layer}});
    const ValueId seen =
        graph.Add(OpKind::kTopPositions, {index_scores}, {{"top", static_cast<int64_t>(top)}});
    scores = graph.Add(OpKind::kKeepPositions, {scores, seen},
                       {{"heads", static_cast<int64_t>(kHeads)}});
  }
  const ValueId weights =
      graph.Add(OpKind::kMaskedSoftmax, {scores},
                {{"heads", static_cast<int64_t>(kHeads)}, {"window", int64_t{0}}});
  auto mix = heads;
  mix["head_dim"] = static_cast<int64_t>(kLatent);
  const ValueId mixed = graph.Add(OpKind::kKvMix, {weights, cache}, mix);
  graph.outputs = {graph.Add(OpKind::kGatherRows, {mixed, logit_rows})};
  return graph;
}

// Pairs (2i, 2i + 1) turned by position times frequency.
std::vector<double> Rotated(const float* x, size_t position) {
  std::vector<double> out(x, x + kRope);
  for (size_t i = 0; i < kRope / 2; ++i) {
    const double angle = static_cast<double>(position) * kFrequencies[i];
    out[2 * i] = x[2 * i] * std::cos(angle) - x[2 * i + 1] * std::sin(angle);
    out[2 * i + 1] = x[2 * i] * std::sin(angle) + x[2 * i + 1] * std::cos(angle);
  }
  return out;
}

// Whether the indexer lets each position up to the last of `rows` be seen by it.
std::vector<bool> Seen(const std::vector<const float*>& rows, size_t top) {
  const float* q = rows.back() + kIndexAt;
  const float* weights = q + kIndexHeads * kIndexDim;
  std::vector<double> scores;
  for (const float* row : rows) {
    const float* k = row + kWidth - kIndexDim;
    double score = 0;
    for (size_t h = 0; h < kIndexHeads; ++h) {
      score +=
          weights[h] * std::max(std::inner_product(k, k + kIndexDim, q + h * kIndexDim, 0.0), 0.0);
    }
    scores.push_back(score);
  }
  std::vector<bool> out;
  for (size_t j = 0; j < scores.size(); ++j) {
    size_t better = 0;
    for (size_t i = 0; i < scores.size(); ++i) {
      better += scores[i] > scores[j] || (scores[i] == scores[j] && i < j) ? 1 : 0;
    }
    out.push_back(top == 0 || better < top);
  }
  return out;
}

std::vector<double> Formula(const std::vector<float>& table, const std::vector<float>& norm,
                            const std::vector<int32_t>& ids, size_t top) {
  std::vector<const float*> rows;
  std::vector<std::vector<double>> keys;  // [latent | k_rope] of each position
  std::vector<double> out;
  for (size_t p = 0; p < ids.size(); ++p) {
    const float* row = &table[static_cast<size_t>(ids[p]) * kWidth];
    rows.push_back(row);
    const std::vector<bool> seen = Seen(rows, top);
    const float* latent = row + kHeads * kKeyCols;
    double squares = 0;
    for (size_t i = 0; i < kLatent; ++i) squares += static_cast<double>(latent[i]) * latent[i];
    std::vector<double> key;
    key.reserve(kLatent);
    for (size_t i = 0; i < kLatent; ++i) {
      key.push_back(latent[i] * norm[i] / std::sqrt(squares / kLatent + kEpsilon));
    }
    const std::vector<double> k_rope = Rotated(latent + kLatent, p);
    key.insert(key.end(), k_rope.begin(), k_rope.end());
    keys.push_back(key);
    for (size_t h = 0; h < kHeads; ++h) {
      std::vector<double> q(row + h * kLatent, row + (h + 1) * kLatent);
      const std::vector<double> q_rope = Rotated(row + kHeads * kLatent + h * kRope, p);
      q.insert(q.end(), q_rope.begin(), q_rope.end());
      std::vector<double> weights;
      for (size_t j = 0; j < keys.size(); ++j) {
        const double score = std::inner_product(q.begin(), q.end(), keys[j].begin(), 0.0);
        weights.push_back(seen[j] ? std::exp(kScale * score) : 0);
      }
      const double total = std::accumulate(weights.begin(), weights.end(), 0.0);
      for (size_t i = 0; i < kLatent; ++i) {
        double sum = 0;
        for (size_t j = 0; j < keys.size(); ++j) sum += weights[j] / total * keys[j][i];
        out.push_back(sum);
      }
    }
  }
  return out;
}

// [ids, heads * latent], the ids run in steps of `chunk`, the last of them one by one.
std::vector<float> Attend(const std::vector<float>& table, const std::vector<float>& norm,
                          const std::vector<int32_t>& ids, size_t top, int fusion_level,
                          size_t chunk, KvDType dtype = KvDType::kF32, size_t threads = 2,
                          size_t singles = 0) {
  Graph graph = BuildGraph(table, norm, top);
  EXPECT_TRUE(RunPasses({.numerics = Numerics::kExact, .fusion_level = fusion_level}, graph).ok());
  const OpKind kind = top == 0 ? OpKind::kAttention : OpKind::kSparseAttention;
  const bool fused = std::any_of(graph.nodes.begin(), graph.nodes.end(),
                                 [&](const Node& node) { return node.kind == kind; });
  EXPECT_EQ(fused, fusion_level >= 1);
  ThreadPool pool(threads);
  KvCacheView view{.data = nullptr,
                   .dtype = dtype,
                   .num_blocks = DivUp(ids.size(), size_t{16}),
                   .layers = 2,
                   .kv_heads = 1,
                   .head_dim = kKeyCols,
                   .block_tokens = 16,
                   .value_dim = kLatent,
                   .index_dim = top == 0 ? 0 : kIndexDim};
  const Arena memory = Arena::Allocate(view.num_blocks * view.BlockBytes(), "cache").value();
  view.data = memory.data();
  Result<PackedStore> weights = PackedStore::Pack(graph, pool, [](const StoredTensor&) {});
  EXPECT_TRUE(weights.ok());
  const auto executor =
      GraphExecutor::Create(std::move(graph), std::move(weights).value(), view, pool,
                            {.limits = {.max_tokens = std::min(chunk, ids.size()),
                                        .max_sequences = 1,
                                        .max_logit_rows = std::min(chunk, ids.size()),
                                        .max_context = ids.size()}})
          .value();
  std::vector<int32_t> blocks(view.num_blocks);
  std::iota(blocks.begin(), blocks.end(), 0);
  std::shuffle(blocks.begin(), blocks.end(), std::mt19937(3));
  std::vector<float> out;
  const size_t in_chunks = ids.size() - singles;
  for (size_t begin = 0, count = 0; begin < ids.size(); begin += count) {
    count = begin < in_chunks ? std::min(chunk, in_chunks - begin) : 1;
    std::vector<int32_t> positions, slots, rows;
    for (size_t i = 0; i < count; ++i) {
      const size_t p = begin + i;
      positions.push_back(static_cast<int32_t>(p));
      slots.push_back(blocks[p / 16] * 16 + static_cast<int32_t>(p % 16));
      rows.push_back(static_cast<int32_t>(i));
    }
    const SequenceSpan sequence{0, static_cast<int32_t>(count), static_cast<int32_t>(begin + count),
                                blocks.data()};
    const std::span<float> result = executor->Run({.tokens = std::span(ids).subspan(begin, count),
                                                   .positions = positions,
                                                   .slots = slots,
                                                   .sequences = std::span(&sequence, 1),
                                                   .logit_rows = rows});
    out.insert(out.end(), result.begin(), result.end());
  }
  return out;
}

void CheckEveryLevelAndChunk(size_t top) {
  std::mt19937 rng(1);
  std::normal_distribution<float> normal;
  std::vector<float> table(kVocab * kWidth), norm(kLatent);
  for (float& x : table) x = normal(rng);
  for (float& x : norm) x = normal(rng);
  std::vector<int32_t> ids(kContext);
  for (int32_t& id : ids) id = static_cast<int32_t>(rng() % kVocab);
  const std::vector<double> want = Formula(table, norm, ids, top);
  for (int level = 0; level <= 3; ++level) {
    SCOPED_TRACE(level);
    const std::vector<float> whole = Attend(table, norm, ids, top, level, kContext);
    ASSERT_EQ(whole.size(), want.size());
    for (size_t i = 0; i < want.size(); ++i) ASSERT_NEAR(whole[i], want[i], 1e-5) << i;
    for (const size_t chunk : {1, 7}) EXPECT_EQ(Attend(table, norm, ids, top, level, chunk), whole);
  }
}

TEST(LatentGraphTest, EveryLevelAndChunkGivesTheFormula) { CheckEveryLevelAndChunk(0); }

TEST(LatentGraphTest, WithAnIndexerEveryLevelAndChunkGivesTheFormula) {
  for (const size_t top : {1, 16, 100}) {
    SCOPED_TRACE(top);
    CheckEveryLevelAndChunk(top);
  }
}

// The same with latent rows in floats of 8 bits, up to their rounding.
TEST(LatentGraphTest, InFloatsOf8BitsEveryLevelAndChunkIsNear) {
  std::mt19937 rng(2);
  std::normal_distribution<float> normal;
  std::vector<float> table(kVocab * kWidth), norm(kLatent);
  for (float& x : table) x = normal(rng);
  for (float& x : norm) x = normal(rng);
  std::vector<int32_t> ids(kContext);
  for (int32_t& id : ids) id = static_cast<int32_t>(rng() % kVocab);
  for (const size_t top : {0, 16}) {
    const std::vector<double> want = Formula(table, norm, ids, top);
    for (int level = 0; level <= 3; ++level) {
      SCOPED_TRACE(fmt::format("top {} level {}", top, level));
      const std::vector<float> whole =
          Attend(table, norm, ids, top, level, kContext, KvDType::kFp8);
      double error = 0, size = 0;
      for (size_t i = 0; i < want.size(); ++i) {
        error += (whole[i] - want[i]) * (whole[i] - want[i]);
        size += want[i] * want[i];
      }
      EXPECT_LT(std::sqrt(error / size), 0.05);
      for (const size_t chunk : {1, 7}) {
        EXPECT_EQ(Attend(table, norm, ids, top, level, chunk, KvDType::kFp8), whole);
      }
    }
  }
}

// So long that the keys of a sequence are in parts, which workers share where heads are few.
TEST(LatentGraphTest, AnyNumberOfThreadsGivesTheSameBitsOfLongContexts) {
  std::mt19937 rng(3);
  std::normal_distribution<float> normal;
  std::vector<float> table(kVocab * kWidth), norm(kLatent);
  for (float& x : table) x = normal(rng);
  for (float& x : norm) x = normal(rng);
  std::vector<int32_t> ids(2300);
  for (int32_t& id : ids) id = static_cast<int32_t>(rng() % kVocab);
  for (const size_t top : {0, 2048}) {
    SCOPED_TRACE(top);
    const auto attend = [&](size_t chunk, size_t threads, size_t singles) {
      return Attend(table, norm, ids, top, 2, chunk, KvDType::kF32, threads, singles);
    };
    const std::vector<float> want = attend(700, 1, 0);
    // Steps of one row have 3 heads.
    EXPECT_EQ(attend(700, 4, 20), want);
    EXPECT_EQ(attend(150, 3, 10), want);
  }
}

}  // namespace
}  // namespace pelton
