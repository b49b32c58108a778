#include "kernels/machine/tune_matmul.h"

#include <gtest/gtest.h>

#include <algorithm>

#include "base/cpu_features.h"

namespace pelton {
namespace {

// The implementations that this processor has, with made-up times.
class FastestMatmul : public testing::Test {
 protected:
  FastestMatmul() {
    for (const MatmulImpl& impl : MatmulImpls()) {
      if ((impl.required_features & ~CpuFeatures()) == 0) timings_.impls.push_back(&impl);
    }
  }
  // One that takes `fast` where all others take 1 second.
  void AddRows(size_t rows, size_t impl, double fast) {
    MatmulTimings::OfRows of{.rows = rows, .operations = 1, .seconds = {}};
    of.seconds.assign(timings_.impls.size(), 1.0);
    of.seconds[impl] = fast;
    timings_.rows.push_back(of);
  }
  size_t Generic() const { return timings_.impls.size() - 1; }
  std::string Default(size_t rows, MatmulRows kind) const {
    return ChooseQuantizedMatmul(timings_.weights, rows, kind).name;
  }
  std::vector<MatmulChoice> Of(MatmulRows kind) const {
    std::vector<MatmulChoice> choices = FastestMatmuls(timings_);
    std::erase_if(choices, [&](const MatmulChoice& choice) { return choice.rows != kind; });
    return choices;
  }

  MatmulTimings timings_;
};

// Not invariant, and never run here.
constexpr MatmulImpl kVaries = {.name = "varies", .invariant = false, .min_rows = 1};

TEST_F(FastestMatmul, IsChosenWhereItBecomesAnother) {
  AddRows(1, Generic(), 0.5);
  AddRows(2, Generic(), 0.9);
  AddRows(4, Generic(), 0.96);  // not worth it
  AddRows(8, Generic(), 0.1);
  const DType q8 = DType::kQ8_0;
  for (const MatmulRows kind : {MatmulRows::kGenerated, MatmulRows::kAny}) {
    std::vector<MatmulChoice> want = {{q8, kind, 1, "generic"}};
    if (Default(4, kind) != "generic") {  // where there are others
      want.push_back({q8, kind, 4, Default(4, kind)});
      want.push_back({q8, kind, 8, "generic"});
    }
    EXPECT_EQ(Of(kind), want);
  }
  EXPECT_TRUE(CheckMatmulChoices(FastestMatmuls(timings_)).ok());
}

TEST_F(FastestMatmul, IsInvariantForGeneratedRows) {
  timings_.impls.insert(timings_.impls.begin(), &kVaries);
  AddRows(1, 0, 0.1);
  EXPECT_EQ(Of(MatmulRows::kGenerated)[0].impl, Default(1, MatmulRows::kGenerated));
  EXPECT_EQ(Of(MatmulRows::kAny)[0].impl, "varies");
}

TEST(TimeMatmuls, TimesEveryCandidate) {
  ThreadPool pool(2);
  const std::vector<DType> weights = TunableWeights();
  if (weights.empty()) GTEST_SKIP() << "nothing to choose from on this processor";
  const Result<MatmulTimings> timings = TimeMatmuls(pool, weights[0], 1);
  ASSERT_TRUE(timings.ok()) << timings.status().message();
  EXPECT_GT(timings->impls.size(), 1u);
  ASSERT_FALSE(timings->rows.empty());
  EXPECT_EQ(timings->rows[0].rows, 1u);
  for (const MatmulTimings::OfRows& of : timings->rows) {
    ASSERT_EQ(of.seconds.size(), timings->impls.size());
    EXPECT_GT(*std::ranges::min_element(of.seconds), 0.0);
    EXPECT_GT(of.operations, 0.0);
  }
  EXPECT_TRUE(CheckMatmulChoices(FastestMatmuls(*timings)).ok());
}

}  // namespace
}  // namespace pelton
