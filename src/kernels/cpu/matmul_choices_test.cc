#include "kernels/ops/matmul_choices.h"

#include <gtest/gtest.h>

#include "base/cpu_features.h"

namespace pelton {
namespace {

class MatmulChoices : public testing::Test {
 protected:
  void TearDown() override { EXPECT_TRUE(SetMatmulChoices({}).ok()); }

  static std::string Chosen(DType weights, MatmulRows kind, size_t rows) {
    return ChooseQuantizedMatmul(weights, rows, kind).name;
  }
};

TEST_F(MatmulChoices, AreFollowedFromTheirRowsOn) {
  const std::string one = Chosen(DType::kQ8_0, MatmulRows::kGenerated, 1);
  const std::string other = Chosen(DType::kQ4_0, MatmulRows::kGenerated, 64);
  const std::string any = Chosen(DType::kQ8_0, MatmulRows::kAny, 64);
  ASSERT_TRUE(SetMatmulChoices({{DType::kQ8_0, MatmulRows::kGenerated, 40, one},
                                {DType::kQ8_0, MatmulRows::kGenerated, 3, "generic"}})
                  .ok());
  EXPECT_EQ(Chosen(DType::kQ8_0, MatmulRows::kGenerated, 2), one);  // as without choices
  EXPECT_EQ(Chosen(DType::kQ8_0, MatmulRows::kGenerated, 3), "generic");
  EXPECT_EQ(Chosen(DType::kQ8_0, MatmulRows::kGenerated, 39), "generic");
  EXPECT_EQ(Chosen(DType::kQ8_0, MatmulRows::kGenerated, 40), one);
  EXPECT_EQ(Chosen(DType::kQ8_0, MatmulRows::kGenerated, 4000), one);
  EXPECT_EQ(Chosen(DType::kQ4_0, MatmulRows::kGenerated, 64), other);
  EXPECT_EQ(Chosen(DType::kQ8_0, MatmulRows::kAny, 64), any);
  ASSERT_TRUE(SetMatmulChoices({}).ok());
  EXPECT_EQ(Chosen(DType::kQ8_0, MatmulRows::kGenerated, 3), one);
}

TEST_F(MatmulChoices, DoNotTouchFloatsNorPrompts) {
  MatmulArgs args{};
  const float none = 0;
  args.x_f32 = &none;
  args.weights.dtype = DType::kQ8_0;
  args.rows = 8;
  const std::string floats = ChooseMatmul(args, MatmulRows::kGenerated).name;
  const std::string prompt = Chosen(DType::kQ8_0, MatmulRows::kPrompt, 8);
  ASSERT_TRUE(SetMatmulChoices({{DType::kQ8_0, MatmulRows::kGenerated, 1, "generic"},
                                {DType::kQ8_0, MatmulRows::kAny, 1, "generic"}})
                  .ok());
  EXPECT_EQ(ChooseMatmul(args, MatmulRows::kGenerated).name, floats);
  EXPECT_EQ(Chosen(DType::kQ8_0, MatmulRows::kPrompt, 8), prompt);
}

TEST_F(MatmulChoices, AreRefusedWhole) {
  const auto refused = [](std::vector<MatmulChoice> choices, std::string_view what) {
    choices.insert(choices.begin(), {DType::kQ4_0, MatmulRows::kGenerated, 1, "generic"});
    const Status status = SetMatmulChoices(choices);
    EXPECT_EQ(status.code(), StatusCode::kInvalidArgument);
    EXPECT_NE(status.message().find(what), std::string::npos) << status.message();
    EXPECT_EQ(CheckMatmulChoices(choices).message(), status.message());
    // The first, which is good, was not taken either.
    if (CpuFeatures() != kCpuGeneric) {
      EXPECT_NE(Chosen(DType::kQ4_0, MatmulRows::kGenerated, 1), "generic");
    }
  };
  refused({{DType::kQ8_0, MatmulRows::kGenerated, 1, "nobody"}}, "no implementation");
  refused({{DType::kQ8_0, MatmulRows::kPrompt, 1, "generic"}}, "prompts");
  refused({{DType::kQ8_0, MatmulRows::kGenerated, 0, "generic"}}, "number of rows");
  refused({{DType::kQ8_0, MatmulRows::kGenerated, 7, "generic"},
           {DType::kQ8_0, MatmulRows::kGenerated, 7, "generic"}},
          "7 rows over Q8_0");
  refused({{DType::kF32, MatmulRows::kGenerated, 1, "generic"}}, "does not take");
  for (const MatmulImpl& impl : MatmulImpls()) {
    if ((impl.required_features & ~CpuFeatures()) != 0) {
      refused({{DType::kQ8_0, MatmulRows::kGenerated, 1, impl.name}}, "does not run");
    } else if (!impl.invariant) {
      refused({{DType::kQ8_0, MatmulRows::kGenerated, 1, impl.name}}, "not invariant");
      EXPECT_TRUE(CheckMatmulChoices({{DType::kQ8_0, MatmulRows::kAny, 1, impl.name}}).ok());
    }
  }
}

}  // namespace
}  // namespace pelton
