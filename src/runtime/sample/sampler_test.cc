#include "runtime/sample/sampler.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <atomic>
#include <cmath>
#include <cstdlib>
#include <limits>
#include <map>
#include <new>
#include <random>
#include <vector>

#include "runtime/sample/philox.h"
#include "runtime/sample/random_row.h"
#include "runtime/sample/row_scan.h"

namespace {
std::atomic<size_t> allocations{0};
}

// Not inlined: GCC 12 would take new and free in one function for a mismatch.
[[gnu::noinline]] void* operator new(size_t size) {
  ++allocations;
  if (void* memory = std::malloc(size)) return memory;
  std::abort();
}
[[gnu::noinline]] void operator delete(void* memory) noexcept { std::free(memory); }
[[gnu::noinline]] void operator delete(void* memory, size_t) noexcept { std::free(memory); }

namespace pelton {
namespace {

// The sampler's definition, written slowly: whole distributions in double, full sorts, libm.
struct Reference {
  struct Token {
    int32_t id;
    double logit;
  };
  std::vector<Token> tokens;
  int32_t id = -1;
  double margin = 1;  // distance of the draw, and of each filter's cut, from flipping

  static bool Before(const Token& a, const Token& b) {
    return a.logit > b.logit || (a.logit == b.logit && a.id < b.id);
  }
  std::vector<double> Probabilities(double temperature) const {
    double max = -1e300, sum = 0;
    for (const Token& t : tokens) max = std::max(max, t.logit);
    std::vector<double> p;
    p.reserve(tokens.size());
    for (const Token& t : tokens) p.push_back(std::exp((t.logit - max) / temperature));
    for (const double x : p) sum += x;
    for (double& x : p) x /= sum;
    return p;
  }
  void Sort() { std::sort(tokens.begin(), tokens.end(), Before); }

  Reference(const std::vector<float>& row, const SamplingParams& params, uint64_t seed,
            const std::vector<int32_t>& seen_tokens, const std::vector<int32_t>& forbidden) {
    for (size_t i = 0; i < row.size(); ++i) {
      tokens.push_back({static_cast<int32_t>(i), static_cast<double>(row[i])});
    }
    for (const LogitBias& b : params.logit_bias) {
      tokens[static_cast<size_t>(b.id)].logit += static_cast<double>(b.bias);
    }
    std::map<int32_t, int> counts;
    const size_t window =
        params.penalty_window < 0
            ? seen_tokens.size()
            : std::min(seen_tokens.size(), static_cast<size_t>(params.penalty_window));
    for (size_t i = seen_tokens.size() - window; i < seen_tokens.size(); ++i)
      ++counts[seen_tokens[i]];
    for (const auto& [token, count] : counts) {
      double& logit = tokens[static_cast<size_t>(token)].logit;
      logit = logit > 0 ? logit / static_cast<double>(params.repetition_penalty)
                        : logit * static_cast<double>(params.repetition_penalty);
      logit -= count * static_cast<double>(params.frequency_penalty) +
               static_cast<double>(params.presence_penalty);
    }
    std::erase_if(tokens, [&](const Token& t) {
      return t.logit == -INFINITY || std::count(forbidden.begin(), forbidden.end(), t.id) > 0;
    });
    if (params.temperature == 0) {
      Sort();
      id = tokens[0].id;
      if (tokens.size() > 1) margin = tokens[0].logit - tokens[1].logit;
      return;
    }
    if (params.top_k > 0 && params.top_k < row.size()) {
      Sort();
      if (tokens.size() > params.top_k) {
        margin = std::min(margin, tokens[params.top_k - 1].logit - tokens[params.top_k].logit);
        tokens.resize(params.top_k);
      }
    }
    if (params.typical_p < 1) Typical(static_cast<double>(params.typical_p));
    if (params.top_p < 1) TopP(static_cast<double>(params.top_p));
    if (params.min_p > 0) {
      double max = -1e300;
      for (const Token& t : tokens) max = std::max(max, t.logit);
      const double floor = max + std::log(static_cast<double>(params.min_p));
      for (const Token& t : tokens) margin = std::min(margin, std::abs(t.logit - floor));
      std::erase_if(tokens, [&](const Token& t) { return t.logit < floor; });
    }
    const std::vector<double> p = Probabilities(static_cast<double>(params.temperature));
    const double u = UniformAt(seed, seen_tokens.size());
    double cumulative = 0;
    for (size_t i = 0; i < p.size(); ++i) {
      cumulative += p[i];
      margin = std::min(margin, std::abs(cumulative - u));
      if (cumulative > u) {
        id = tokens[i].id;
        return;
      }
    }
  }
  void Typical(double typical_p) {
    const std::vector<double> p = Probabilities(1);
    double entropy = 0;
    for (const double x : p) entropy -= x > 0 ? x * std::log(x) : 0;
    std::vector<std::pair<double, size_t>> order;
    order.reserve(p.size());
    for (size_t i = 0; i < p.size(); ++i) order.push_back({std::abs(-std::log(p[i]) - entropy), i});
    std::sort(order.begin(), order.end());
    std::vector<Token> kept;
    double cumulative = 0;
    for (size_t i = 0; i < order.size(); ++i) {
      cumulative += p[order[i].second];
      kept.push_back(tokens[order[i].second]);
      margin = std::min(margin, std::abs(cumulative - typical_p));
      if (i > 0) margin = std::min(margin, (order[i].first - order[i - 1].first) * 10);
      if (cumulative > typical_p) break;
    }
    tokens = kept;
    Sort();
  }
  void TopP(double top_p) {
    Sort();
    const std::vector<double> p = Probabilities(1);
    double cumulative = 0;
    for (size_t i = 0; i < p.size(); ++i) {
      cumulative += p[i];
      margin = std::min(margin, std::abs(cumulative - top_p));
      if (cumulative >= top_p) {
        tokens.resize(i + 1);
        return;
      }
    }
  }
};

TEST(Sampler, AgreesWithTheSlowReference) {
  std::mt19937 random(11);
  const auto below = [&](size_t n) {
    return std::uniform_int_distribution<size_t>(0, n - 1)(random);
  };
  const auto one_of = [&](auto... values) {
    const float list[] = {static_cast<float>(values)...};
    return list[below(sizeof...(values))];
  };
  size_t compared = 0, skipped = 0, changed = 0;
  for (const size_t vocab : {1, 2, 7, 64, 300, 5000}) {
    Sampler sampler(vocab, 200);
    for (int round = 0; round < 500; ++round) {
      SamplingParams params;
      params.temperature = one_of(0.0, 0.3, 0.8, 1.0, 2.5);
      params.top_k = static_cast<uint32_t>(one_of(0, 0, 1, 5, 40, 100000));
      params.top_p = one_of(1, 1, 0.05, 0.5, 0.9, 0.999);
      params.min_p = one_of(0, 0, 0.01, 0.2, 0.7);
      params.typical_p = one_of(1, 1, 1, 0.3, 0.95);
      params.repetition_penalty = one_of(1, 1, 1.3, 0.7);
      params.presence_penalty = one_of(0, 0, 0.5, -0.5);
      params.frequency_penalty = one_of(0, 0, 0.3);
      params.penalty_window = static_cast<int32_t>(one_of(-1, 0, 16, 64));
      for (size_t i = below(3); i > 0; --i) {
        params.logit_bias.push_back({static_cast<int32_t>(below(vocab)), one_of(-100, 1.5, 3)});
      }
      ASSERT_TRUE(params.Validate(vocab).ok());
      std::vector<float> row = RandomRow(vocab, static_cast<uint32_t>(random()), one_of(0.5, 2, 6));
      if (vocab > 2 && below(4) == 0) row[below(vocab)] = -kInfinity;
      std::vector<int32_t> tokens(below(200));
      for (int32_t& token : tokens)
        token = static_cast<int32_t>(below(std::min<size_t>(vocab, 50)));
      std::vector<int32_t> forbidden;
      if (vocab > 2 && below(3) == 0) forbidden.push_back(static_cast<int32_t>(below(vocab)));
      const uint64_t seed = random();

      const Reference want(row, params, seed, tokens, forbidden);
      std::vector<float> logits = row;
      const std::optional<int32_t> got = sampler.Sample({.logits = logits,
                                                         .params = params,
                                                         .seed = seed,
                                                         .tokens = tokens,
                                                         .forbidden = forbidden});
      ASSERT_TRUE(got.has_value());
      ASSERT_EQ(logits, row) << "the row is restored";
      if (want.margin < 1e-5) {  // f32 and f64 may fall on different sides of a cut
        ++skipped;
        continue;
      }
      ++compared;
      ASSERT_EQ(*got, want.id) << "vocab " << vocab << " round " << round;
      changed += want.id != std::max_element(row.begin(), row.end()) - row.begin();
    }
  }
  EXPECT_GT(compared, 2600u);
  EXPECT_LT(skipped, 400u);
  EXPECT_GT(changed, 700u);
}

TEST(Sampler, GreedyTakesTheLowestIdOnTies) {
  Sampler sampler(100, 10);
  std::vector<float> row(100, 0.0f);
  row[70] = row[30] = row[99] = 2.0f;
  SamplingParams params;
  params.temperature = 0;
  EXPECT_EQ(sampler.Sample({row, params, 1, {}, {}}), 30);
  const std::vector<int32_t> forbidden = {30};
  EXPECT_EQ(sampler.Sample({row, params, 1, {}, forbidden}), 70);
}

TEST(Sampler, DrawsFollowTheDistribution) {
  const std::vector<float> row = {1.0f, 2.0f, 0.0f, -1.0f, 1.5f};
  double total = 0;
  for (const float x : row) total += std::exp(static_cast<double>(x));
  for (const uint32_t top_k : {0u, 4u}) {  // the two ways to draw
    Sampler sampler(row.size(), 100000);
    SamplingParams params;
    params.top_k = top_k;
    std::vector<int> counts(row.size());
    const std::vector<int32_t> tokens(40000, 0);
    std::vector<float> logits = row;
    for (size_t i = 0; i < tokens.size(); ++i) {
      ++counts[static_cast<size_t>(
          *sampler.Sample({logits, params, 9, std::span(tokens).first(i), {}}))];
    }
    for (size_t i = 0; i < row.size(); ++i) {
      const double left_out = top_k > 0 ? std::exp(-1.0) : 0;
      const double p =
          top_k > 0 && i == 3 ? 0 : std::exp(static_cast<double>(row[i])) / (total - left_out);
      EXPECT_NEAR(counts[i] / 40000.0, p, 0.011) << i;  // over four standard deviations
    }
  }
}

TEST(Sampler, DamagedRowsAreRefusedAndLeaveNoTrace) {
  Sampler sampler(300, 100);
  const std::vector<int32_t> tokens = {1, 2, 2, 3};
  for (const float bad : {std::numeric_limits<float>::quiet_NaN(), kInfinity}) {
    for (const size_t place : {size_t{0}, size_t{2}, size_t{150}, size_t{299}}) {
      for (const float temperature : {0.0f, 1.0f}) {
        SamplingParams params;
        params.temperature = temperature;
        params.repetition_penalty = 1.2f;
        std::vector<float> row(300, 0.5f);
        row[place] = bad;
        const std::vector<int32_t> forbidden = {static_cast<int32_t>(place)};
        EXPECT_FALSE(sampler.Sample({row, params, 1, tokens, {}}).has_value());
        EXPECT_FALSE(sampler.Sample({row, params, 1, tokens, forbidden}).has_value())
            << "a forbidden token does not hide the damage";
        EXPECT_FALSE(sampler.Logprobs(row, 5, {}).has_value());
        EXPECT_EQ(row[1], 0.5f);
      }
    }
  }
  std::vector<float> two(300, -kInfinity);
  two[4] = two[5] = 1;
  const std::vector<int32_t> forbidden = {4, 5};
  SamplingParams params;
  EXPECT_FALSE(sampler.Sample({two, params, 1, tokens, forbidden}).has_value())
      << "nothing is left";
  // The penalty counts were cleaned up: the next row is not affected by the ones before.
  params.temperature = 0;
  params.presence_penalty = 1;
  std::vector<float> row(300, 0.0f);
  row[2] = 0.5f;
  EXPECT_EQ(sampler.Sample({row, params, 1, {}, {}}), 2);
}

TEST(Sampler, LogprobsAreTheModelsOwn) {
  Sampler sampler(5000, 10);
  const std::vector<float> row = RandomRow(5000, 3, 4);
  double max = -1e300, sum = 0;
  for (const float x : row) max = std::max(max, static_cast<double>(x));
  for (const float x : row) sum += std::exp(static_cast<double>(x) - max);
  std::vector<int32_t> order(row.size());
  for (size_t i = 0; i < order.size(); ++i) order[i] = static_cast<int32_t>(i);
  std::sort(order.begin(), order.end(), [&](int32_t a, int32_t b) {
    return row[static_cast<size_t>(a)] > row[static_cast<size_t>(b)];
  });
  const auto want = [&](int32_t id) {
    return static_cast<double>(row[static_cast<size_t>(id)]) - max - std::log(sum);
  };
  TokenLogprob top[20];
  const auto got = sampler.Logprobs(row, 17, top);
  ASSERT_TRUE(got.has_value());
  EXPECT_NEAR(static_cast<double>(got->chosen), want(17), 2e-6);
  ASSERT_EQ(got->num_top, 20u);
  for (size_t i = 0; i < 20; ++i) {
    EXPECT_EQ(top[i].id, order[i]);
    EXPECT_NEAR(static_cast<double>(top[i].logprob), want(order[i]), 2e-6);
  }
  Sampler tiny(3, 10);
  EXPECT_EQ(tiny.Logprobs(std::vector<float>{1, 2, 3}, 0, top)->num_top, 3u);
}

TEST(Sampler, ExtremeButFiniteLogitsStayDefined) {
  Sampler sampler(4, 10);
  std::vector<float> row = {3e38f, -3e38f, 0.0f, -kInfinity};
  for (const float typical_p : {1.0f, 0.5f}) {
    for (const float top_p : {1.0f, 0.5f}) {
      SamplingParams params;
      params.typical_p = typical_p;
      params.top_p = top_p;
      params.temperature = 100;
      params.min_p = 0.1f;
      EXPECT_EQ(sampler.Sample({row, params, 1, {}, {}}), 0);
    }
  }
  SamplingParams params;
  params.temperature = std::numeric_limits<float>::denorm_min();
  EXPECT_EQ(sampler.Sample({row, params, 1, {}, {}}), 0);
}

TEST(Sampler, DoesNotAllocate) {
  constexpr size_t kVocab = 20000;
  Sampler sampler(kVocab, 1000);
  std::vector<float> row = RandomRow(kVocab, 1, 3);
  std::vector<int32_t> tokens(1000);
  for (size_t i = 0; i < tokens.size(); ++i) tokens[i] = static_cast<int32_t>(i * 7);
  std::vector<SamplingParams> all(6);
  all[0].temperature = 0;
  all[1].top_k = 40;
  all[2].top_p = 0.9999f;
  all[3].typical_p = 0.9999f;
  all[4].min_p = 0.001f;
  for (SamplingParams& params : all) {
    params.frequency_penalty = 0.1f;
    params.penalty_window = -1;
    params.logit_bias.assign(1000, {5, 0.01f});
  }
  TokenLogprob top[100];
  const std::vector<int32_t> forbidden(1024, 3);
  const size_t before = allocations;
  for (const SamplingParams& params : all) {
    const auto id = sampler.Sample({row, params, 1, tokens, forbidden});
    ASSERT_TRUE(id.has_value());
    ASSERT_TRUE(sampler.Logprobs(row, *id, top).has_value());
  }
  EXPECT_EQ(allocations - before, 0u);
}

}  // namespace
}  // namespace pelton
