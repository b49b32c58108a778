#include <gtest/gtest.h>

#include <cmath>
#include <limits>
#include <random>
#include <set>
#include <vector>

#include "kernels/ops/experts.h"
#include "kernels/reference/experts.h"

namespace pelton {
namespace {

struct Router {
  size_t tokens = 1, experts = 8, top = 2, groups = 1, top_groups = 1;
  RouterScoring scoring = RouterScoring::kSoftmax;
  bool biased = false, normalise = false;
  float scale = 1;

  std::vector<float> logits, bias, weights;
  std::vector<int32_t> ids;

  void Fill(std::mt19937& rng) {
    std::normal_distribution<float> normal(0, 2);
    logits.resize(tokens * experts);
    for (float& x : logits) x = normal(rng);
    bias.resize(experts);
    for (float& x : bias) x = normal(rng) / 8;
  }
  RouteArgs Args() {
    ids.assign(tokens * top, -1);
    weights.assign(tokens * top, -1);
    RouteArgs args{};
    args.logits = logits.data();
    args.bias = biased ? bias.data() : nullptr;
    args.ids = ids.data();
    args.weights = weights.data();
    args.logits_stride = experts;
    args.tokens = tokens;
    args.experts = experts;
    args.top = top;
    args.groups = groups;
    args.top_groups = top_groups;
    args.scoring = scoring;
    args.normalise = normalise;
    args.scale = scale;
    return args;
  }
};

void RunRouter(const RouteArgs& args) {
  std::vector<std::byte> scratch(RouteScratchBytes(args) + 64);
  std::byte* aligned = scratch.data();
  while (reinterpret_cast<uintptr_t>(aligned) % 64 != 0) ++aligned;
  const OpImpl<RouteArgs>& impl = RouteImpls()[0];
  impl.run(args, args.tokens / 2, args.tokens, aligned);
  impl.run(args, 0, args.tokens / 2, aligned);
}

TEST(RouteTest, ChoosesAndWeighsAsTheDefinitionSays) {
  std::mt19937 rng(3);
  const auto pick = [&](size_t from, size_t to) {
    return std::uniform_int_distribution<size_t>(from, to)(rng);
  };
  for (int round = 0; round < 300; ++round) {
    Router router;
    router.groups = pick(0, 1) == 0 ? 1 : pick(2, 8);
    router.experts = router.groups * pick(1, 20);
    router.top_groups = pick(1, router.groups);
    router.top = pick(1, std::min<size_t>(router.experts / router.groups * router.top_groups, 8));
    router.tokens = pick(1, 9);
    router.scoring = static_cast<RouterScoring>(pick(0, 2));
    router.biased = pick(0, 1) == 0;
    router.normalise = pick(0, 1) == 0;
    router.scale = pick(0, 1) == 0 ? 1.0f : 2.5f;
    router.Fill(rng);
    const RouteArgs args = router.Args();
    RunRouter(args);
    for (size_t row = 0; row < router.tokens; ++row) {
      const std::vector<reference::Choice> want = reference::Route(args, row);
      for (size_t k = 0; k < router.top; ++k) {
        const size_t i = row * router.top + k;
        ASSERT_EQ(static_cast<size_t>(router.ids[i]), want[k].expert) << "round " << round;
        EXPECT_NEAR(router.weights[i], want[k].weight, 1e-5 * (1 + want[k].weight));
      }
    }
  }
}

TEST(RouteTest, EqualScoresGoToTheLowestIndex) {
  Router router{.experts = 6, .top = 3, .groups = 3, .top_groups = 2};
  router.logits.assign(6, 1.0f);
  RunRouter(router.Args());
  EXPECT_EQ(router.ids, (std::vector<int32_t>{0, 1, 2}));
  router.logits = {0, 5, 0, 5, 0, 5};
  RunRouter(router.Args());
  EXPECT_EQ(router.ids, (std::vector<int32_t>{1, 3, 0}));
}

TEST(RouteTest, StatedChoicesAreWeighedInTheirOrder) {
  Router router{.tokens = 2, .experts = 4, .top = 2, .scoring = RouterScoring::kSqrtSoftplus};
  router.normalise = true;
  router.scale = 3;
  router.logits = {0, 200, -3, 1, 1, 2, 3, 4};
  const std::vector<float> choices = {2, 1, 99, 0, 3, 99};
  RouteArgs args = router.Args();
  args.choices = choices.data();
  args.choices_stride = 3;
  RunRouter(args);
  EXPECT_EQ(router.ids, (std::vector<int32_t>{2, 1, 0, 3}));
  const auto score = [](double logit) { return std::sqrt(std::log1p(std::exp(logit))); };
  EXPECT_NEAR(router.weights[0], 3 * score(-3) / (score(-3) + score(200)), 1e-5);
  EXPECT_NEAR(router.weights[3], 3 * score(4) / (score(1) + score(4)), 1e-5);
}

TEST(RouteTest, RowsThatAreNoNumbersStillChooseDistinctExperts) {
  constexpr float kNan = std::numeric_limits<float>::quiet_NaN();
  constexpr float kInfinity = std::numeric_limits<float>::infinity();
  for (const RouterScoring scoring :
       {RouterScoring::kSoftmax, RouterScoring::kSigmoid, RouterScoring::kSqrtSoftplus}) {
    for (const float bad : {kNan, kInfinity, -kInfinity}) {
      for (const bool biased : {false, true}) {
        Router router{.experts = 8,
                      .top = 4,
                      .groups = 4,
                      .top_groups = 2,
                      .scoring = scoring,
                      .biased = biased};
        router.bias.assign(8, 0.0f);
        router.logits.assign(8, bad);
        RunRouter(router.Args());
        const std::set<int32_t> distinct(router.ids.begin(), router.ids.end());
        EXPECT_EQ(distinct.size(), 4u);
        EXPECT_GE(*distinct.begin(), 0);
        EXPECT_LT(*distinct.rbegin(), 8);
      }
    }
  }
}

TEST(ExpertOrderTest, SortsPairsByExpertAndKeepsTheirOrder) {
  std::mt19937 rng(5);
  for (const auto& [pairs, experts] : {std::pair(0, 3), std::pair(1, 1), std::pair(40, 5),
                                       std::pair(7, 64), std::pair(4096, 256)}) {
    std::vector<int32_t> ids(static_cast<size_t>(pairs));
    for (int32_t& id : ids) id = std::uniform_int_distribution<int32_t>(0, experts - 1)(rng);
    std::vector<int32_t> order(ids.size(), -1), starts(static_cast<size_t>(experts) + 1, -1);
    const ExpertOrderArgs args{.ids = ids.data(),
                               .order = order.data(),
                               .starts = starts.data(),
                               .pairs = ids.size(),
                               .experts = static_cast<size_t>(experts)};
    ExpertOrderImpls()[0].run(args, 0, 1, nullptr);
    std::vector<int32_t> want_order, want_starts;
    for (int32_t e = 0; e < experts; ++e) {
      want_starts.push_back(static_cast<int32_t>(want_order.size()));
      for (int32_t p = 0; p < pairs; ++p) {
        if (ids[static_cast<size_t>(p)] == e) want_order.push_back(p);
      }
    }
    want_starts.push_back(pairs);
    EXPECT_EQ(order, want_order);
    EXPECT_EQ(starts, want_starts);
  }
}

TEST(ExpertRowsTest, CopiesTheTokenOfEachPair) {
  const std::vector<float> x = {1, 2, 0, 3, 4, 0, 5, 6, 0};
  const std::vector<int32_t> order = {4, 0, 5, 3, 1, 2};
  std::vector<float> out(order.size() * 2);
  ExpertRowsArgs args{.x = reinterpret_cast<const std::byte*>(x.data()),
                      .order = order.data(),
                      .out = reinterpret_cast<std::byte*>(out.data()),
                      .pairs = order.size(),
                      .top = 2,
                      .row_bytes = 8,
                      .x_row_bytes = 12,
                      .out_row_bytes = 8};
  ExpertRowsImpls()[0].run(args, 3, 6, nullptr);
  ExpertRowsImpls()[0].run(args, 0, 3, nullptr);
  EXPECT_EQ(out, (std::vector<float>{5, 6, 1, 2, 5, 6, 3, 4, 1, 2, 3, 4}));
}

}  // namespace
}  // namespace pelton
