#include "graph/ir/verify.h"

#include <fmt/format.h>
#include <gtest/gtest.h>

#include <algorithm>

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

// Attention over a latent cache, with the rest of the queries and the KV heads as given.
Status VerdictOnLatent(std::string_view q_rope, std::string_view kv_heads) {
  return ParseGraph(fmt::format(R"(graph "latent"
input %q : f32[T, 24]
input %q_rope : {}
input %latent : f32[T, 12]
input %k_rope : f32[T, 4]
input %slots : i32[T]
%cache = kv_write(%latent, %k_rope, %slots) {{layer=0}}
%s = kv_scores(%q, %cache, %q_rope) {{heads=2, kv_heads={}, layer=0}} : f32[T, 2*C]
%w = masked_softmax(%s) {{heads=2, window=0}}
%o = kv_mix(%w, %cache) {{head_dim=12, heads=2, kv_heads={}, layer=0}} : f32[T, 24]
%a = attention(%q, %cache, %q_rope) {{cap=0, heads=2, kv_heads={}, layer=0, scale=1, window=0}} : f32[T, 24]
%sum = add(%o, %a)
output %sum
)",
                                q_rope, kv_heads, kv_heads, kv_heads))
      .status();
}

TEST(VerifyGraphTest, AttentionOverALatentCacheTakesTheRestOfItsQueries) {
  EXPECT_TRUE(VerdictOnLatent("f32[T, 8]", "1").ok());
  for (const std::string_view q_rope : {"f32[T, 7]", "f32[R, 8]", "f32[8]", "i32[T]"}) {
    EXPECT_FALSE(VerdictOnLatent(q_rope, "1").ok()) << q_rope;
  }
  EXPECT_NE(VerdictOnLatent("f32[T, 8]", "2").message().find("the cache is latent"),
            std::string::npos);
}

// Sparse attention with values of the given types and shapes, its heads 2.
Status VerdictOnSparse(std::string_view index_weights, std::string_view index_scores,
                       std::string_view positions) {
  return ParseGraph(fmt::format(R"(graph "sparse"
input %q : f32[T, 24]
input %q_rope : f32[T, 8]
input %latent : f32[T, 12]
input %k_rope : f32[T, 4]
input %iq : f32[T, 10]
input %ik : f32[T, 5]
input %iw : {}
input %is : {}
input %ip : {}
input %slots : i32[T]
%cache = kv_write(%latent, %k_rope, %slots) {{layer=0}}
%keys = index_write(%ik, %slots) {{layer=0}}
%index = index_scores(%iq, %iw, %keys) {{heads=2, layer=0}} : f32[T, C]
%top = top_positions(%is) {{top=16}} : i32[T, 16]
%s = kv_scores(%q, %cache, %q_rope) {{heads=2, kv_heads=1, layer=0}} : f32[T, 2*C]
%kept = keep_positions(%s, %ip) {{heads=2}} : f32[T, 2*C]
%o = sparse_attention(%q, %cache, %q_rope, %ip) {{heads=2, kv_heads=1, layer=0, scale=1}} : f32[T, 24]
output %o
)",
                                index_weights, index_scores, positions))
      .status();
}

TEST(VerifyGraphTest, SparseAttentionTakesPositionsOfEachRow) {
  const Status status = VerdictOnSparse("f32[T, 2]", "f32[T, C]", "i32[T, 9]");
  EXPECT_TRUE(status.ok()) << status.message();
  for (const std::string_view weights : {"f32[T, 3]", "f32[R, 2]", "i32[T]"}) {
    EXPECT_FALSE(VerdictOnSparse(weights, "f32[T, C]", "i32[T, 9]").ok()) << weights;
  }
  for (const std::string_view scores : {"f32[T, 2*C]", "f32[T, 5]", "i32[T]"}) {
    EXPECT_FALSE(VerdictOnSparse("f32[T, 2]", scores, "i32[T, 9]").ok()) << scores;
  }
  for (const std::string_view positions : {"f32[T, 9]", "i32[R, 9]", "i32[T]"}) {
    EXPECT_FALSE(VerdictOnSparse("f32[T, 2]", "f32[T, C]", positions).ok()) << positions;
  }
}

// Attention over a window and chosen entries, its residual in two streams.
Status VerdictOnCompressed(std::string_view gate, std::string_view bias,
                           std::string_view attributes, std::string_view mixes) {
  return ParseGraph(fmt::format(R"(graph "compressed"
input %positions : i32[T]
input %slots : i32[T]
input %x : f32[T, 8]
input %q : f32[T, 32]
input %k : f32[T, 16]
input %v : f32[T, 32]
input %g : {}
input %chosen : i32[T, 4]
input %mixes : {}
const %f = numbers(1) : f32[1]
const %bias = numbers({}) : f32[{}]
const %norm = numbers(1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1) : f32[16]
const %sinks = numbers(0, 0) : f32[2]
const %scale = numbers(1, 1, 1) : f32[3]
const %base = numbers(0, 0, 0, 0, 0, 0, 0, 0) : f32[8]
%table = rope_table(%positions, %f) {{magnitude=1, multiple=1}}
%turned = rope(%k, %table) {{back=1, first=14, heads=1, interleaved=1}}
%keys = kv_write(%turned, %turned, %slots) {{layer=0}}
%written = compress_write(%v, %g, %slots) {{layer=0, begin=0}}
%entries = compress(%written, %bias, %norm, %table) {{layer=0, begin=0, ratio=1, epsilon=1e-06}}
%o = compressed_attention(%q, %keys, %sinks, {}) {{heads=2, layer=0, scale=1, window=8, {}}}
%xs = stream_spread(%x) {{streams=2}} : f32[T, 16]
%w = stream_weights(%mixes, %scale, %base) {{streams=2, rounds=3, epsilon=1e-06}} : f32[T, 8]
%y = stream_merge(%xs, %w) {{streams=2}} : f32[T, 8]
%z = stream_mix(%xs, %y, %w) {{streams=2}} : f32[T, 16]
output %z
output %o
)",
                                gate, mixes, bias, 1 + std::ranges::count(bias, ','),
                                attributes.starts_with("ratio=0") ? "_, _" : "%entries, %chosen",
                                attributes))
      .status();
}

TEST(VerifyGraphTest, CompressedEntriesAndStreams) {
  // A bias for each of the 16 lanes, of this window and of the one before.
  std::string bias = "0";
  for (int i = 1; i < 32; ++i) bias += ", 0";
  const Status status = VerdictOnCompressed("f32[T, 32]", bias, "ratio=1, begin=16", "f32[T, 8]");
  EXPECT_TRUE(status.ok()) << status.message();
  EXPECT_TRUE(VerdictOnCompressed("f32[T, 32]", bias, "ratio=0, begin=0", "f32[T, 8]").ok());
  EXPECT_FALSE(VerdictOnCompressed("f32[T, 16]", bias, "ratio=1, begin=16", "f32[T, 8]").ok());
  EXPECT_FALSE(
      VerdictOnCompressed("f32[T, 32]", bias + ", 0", "ratio=1, begin=16", "f32[T, 8]").ok());
  EXPECT_FALSE(VerdictOnCompressed("f32[T, 32]", bias, "ratio=1, begin=-1", "f32[T, 8]").ok());
  EXPECT_FALSE(VerdictOnCompressed("f32[T, 32]", bias, "ratio=1, begin=16", "f32[T, 6]").ok());
}

}  // namespace
}  // namespace pelton
