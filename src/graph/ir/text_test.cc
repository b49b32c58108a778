#include "graph/ir/text.h"

#include <gtest/gtest.h>

#include "graph/ir/verify.h"

namespace pelton {
namespace {

constexpr std::string_view kExample = R"(graph "two ops"
input %ids : i32[T]
input %rows : i32[R]
const %table = stored("token_embd.weight" Q4_1[64, 32]) : stored[64, 32]
const %half = numbers(0.5, 2, -1.25e-05) : f32[3]
const %gain = numbers(1, 1) : f32[2]
%x = embedding(%ids, %table) : f32[T, 32]
%picked = gather_rows(%x, %rows) : f32[R, 32]
%y = scale(%picked) {by=3.0} : f32[R, 32]
%logits = matmul(%y, %table) : f32[R, 64]
output %logits
)";

TEST(GraphTextTest, PrintsWhatItParsed) {
  const Result<Graph> graph = ParseGraph(kExample);
  ASSERT_TRUE(graph.ok()) << graph.status().message();
  EXPECT_TRUE(VerifyGraph(*graph).ok());
  const std::string printed = GraphToText(*graph);
  const Result<Graph> again = ParseGraph(printed);
  ASSERT_TRUE(again.ok()) << again.status().message();
  EXPECT_EQ(GraphToText(*again), printed);
  EXPECT_NE(printed.find("%y = scale(%picked) {by=3.0} : f32[R, 32]"), std::string::npos);
  EXPECT_EQ(printed.find("%gain"), std::string::npos) << "constants that nobody reads are left out";
}

TEST(GraphTextTest, ManyMatricesAreOneConstant) {
  const std::string_view text = R"(graph "matrices"
input %x : f32[T, 64]
const %experts = 3 x stored("a" Q8_0[4, 32], "b" Q8_0[4, 32], "c" Q8_0[4, 32]) : stored[12, 32]
const %pairs = 2 x interleaved("g" F16[2, 32], "u" F16[2, 32], "h" F16[2, 32], "v" F16[2, 32]) : packed[8, 32]
const %heads = 2 x stored("k" BF16[5, 32], "l" BF16[5, 32]) : stored[10, 32]
%y = head_matmul(%x, %heads) {heads=2} : f32[T, 10]
%half = slice_cols(%x) {begin=0, count=32} : f32[T, 32]
%e = matmul(%half, %experts) : f32[T, 12]
%p = matmul(%half, %pairs) : f32[T, 8]
output %y
output %e
output %p
)";
  const Result<Graph> graph = ParseGraph(text);
  ASSERT_TRUE(graph.ok()) << graph.status().message();
  EXPECT_EQ(GraphToText(*graph), text);
  const ConstantData& experts = graph->value(*graph->FindValue("experts")).constant;
  EXPECT_EQ(experts.groups, 3);
  EXPECT_EQ(experts.tensors.size(), 3u);
  const ConstantData& pairs = graph->value(*graph->FindValue("pairs")).constant;
  EXPECT_EQ(pairs.groups, 2);
  EXPECT_EQ(pairs.tensors.size(), 4u);
  EXPECT_TRUE(pairs.interleave_panels);
}

struct BadText {
  const char* text;
  const char* error;
};

class GraphTextErrors : public testing::TestWithParam<BadText> {};

TEST_P(GraphTextErrors, NamesLineAndReason) {
  const Result<Graph> graph = ParseGraph(GetParam().text);
  ASSERT_FALSE(graph.ok());
  EXPECT_NE(graph.status().message().find(GetParam().error), std::string::npos)
      << graph.status().message();
}

INSTANTIATE_TEST_SUITE_P(
    Cases, GraphTextErrors,
    testing::Values(
        BadText{"", "line 1: expected graph"}, BadText{"graph \"x", "unfinished string"},
        BadText{"graph \"x\"\nbogus", "line 2: expected input, const, output"},
        BadText{"graph \"x\"\ninput %a : i32[99999999999]", "31 bits"},
        BadText{"graph \"x\"\ninput %a : i32[0]", "at least 1"},
        BadText{"graph \"x\"\ninput %a : i32[T]\ninput %a : i32[T]", "made twice"},
        BadText{"graph \"x\"\n%a = silu(%b)", "%b is unknown"},
        BadText{"graph \"x\"\ninput %a : f32[T, 4]\n%b = silu(%a, %a)", "too many inputs"},
        BadText{"graph \"x\"\ninput %a : f32[T, 4]\n%b = silu()", "input 0 is missing"},
        BadText{"graph \"x\"\ninput %a : f32[T, 4]\n%b = scale(%a)", "attribute by is missing"},
        BadText{"graph \"x\"\ninput %a : f32[T, 4]\n%b = silu(%a) : f32[T, 5]", "the op makes"},
        BadText{"graph \"x\"\ninput %a : f32[T, 4]\n%b, %c = silu(%a)", "found 2 outputs"},
        BadText{"graph \"x\"\ninput %a : f32[T, 4]\n%b = slice_cols(%a) {begin=3, count=2}",
                "columns [begin, begin + count)"},
        BadText{"graph \"x\"\nconst %w = stored(\"w\" Q4_0[4, 32]) : stored[5, 32]", "disagree"},
        BadText{"graph \"x\"\nconst %w = stored(\"w\" Q9_9[4, 32]) : stored[4, 32]",
                "unknown stored type"},
        BadText{"graph \"x\"\nconst %w = 2 x stored(\"a\" F16[4, 32], \"b\" F16[4, 32], "
                "\"c\" F16[4, 32]) : stored[12, 32]",
                "line 2: the constant's data and shape disagree"},
        BadText{"graph \"x\"\nconst %w = 2 x stored(\"a\" F16[4, 32], \"b\" F16[5, 32]) : "
                "stored[9, 32]",
                "disagree"},
        BadText{"graph \"x\"\nconst %w = 2 x stored(\"a\" F16[4, 32], \"b\" BF16[4, 32]) : "
                "stored[8, 32]",
                "disagree"},
        BadText{"graph \"x\"\nconst %w = 2 x interleaved(\"a\" F16[4, 32], \"b\" F16[4, 32]) : "
                "packed[8, 32]",
                "disagree"},
        BadText{"graph \"x\"\nconst %w = 1 x stored(\"a\" F16[4, 32]) : stored[4, 32]",
                "line 2: expected at least 2 matrices"},
        BadText{"graph \"x\"\nconst %w = 0 x stored(\"a\" F16[4, 32]) : stored[4, 32]",
                "expected at least 2 matrices"},
        BadText{"graph \"x\"\nconst %w = 99999999999 x stored(\"a\" F16[4, 32]) : stored[4, 32]",
                "31 bits"},
        BadText{"graph \"x\"\nconst %w = 2 y stored(\"a\" F16[4, 32]) : stored[4, 32]",
                "expected x"},
        BadText{"graph \"x\"\nconst %w = 2 x numbers(1, 2) : f32[2]", "disagree"},
        BadText{"graph \"x\"\nconst %w = 2 x bogus(1, 2) : f32[2]",
                "expected numbers, stored or interleaved"},
        BadText{"graph \"x\"\n%f = rope_frequencies() {base=1.0, dims=2147483646, factor=1.0, "
                "high=1.0, low=1.0, original=1, scaling=\"none\", truncate=1}",
                "an even size up to 4096"}));

}  // namespace
}  // namespace pelton
