#include "graph/ir/verify.h"

#include <gtest/gtest.h>

#include "graph/ir/text.h"

namespace pelton {
namespace {

Graph Parsed(std::string_view text) {
  Result<Graph> graph = ParseGraph(text);
  EXPECT_TRUE(graph.ok()) << graph.status().message();
  return std::move(graph).value();
}

constexpr std::string_view kChain = R"(graph "chain"
input %x : f32[T, 4]
%a = silu(%x)
%b = silu(%a)
output %b
)";

TEST(VerifyGraphTest, AcceptsARunnableOrder) { EXPECT_TRUE(VerifyGraph(Parsed(kChain)).ok()); }

TEST(VerifyGraphTest, RefusesAReadBeforeItsWrite) {
  Graph graph = Parsed(kChain);
  std::swap(graph.nodes[0], graph.nodes[1]);
  const Status status = VerifyGraph(graph);
  EXPECT_EQ(status.code(), StatusCode::kInternal);
  EXPECT_NE(status.message().find("%a is read before it is made"), std::string::npos);
}

TEST(VerifyGraphTest, RefusesAValueMadeTwice) {
  Graph graph = Parsed(kChain);
  graph.nodes.push_back(graph.nodes[0]);
  EXPECT_NE(VerifyGraph(graph).message().find("%a is made twice"), std::string::npos);
}

TEST(VerifyGraphTest, RefusesAShapeThatTheOpDoesNotMake) {
  Graph graph = Parsed(kChain);
  graph.value(*graph.FindValue("b")).shape = Shape{Dim(1, Symbol::kTokens), 5};
  EXPECT_NE(VerifyGraph(graph).message().find("the op makes [T, 4]"), std::string::npos);
}

TEST(VerifyGraphTest, RefusesAnOutputThatNobodyMakes) {
  Graph graph = Parsed(kChain);
  graph.nodes.pop_back();
  EXPECT_NE(VerifyGraph(graph).message().find("an output is never made"), std::string::npos);
}

}  // namespace
}  // namespace pelton
