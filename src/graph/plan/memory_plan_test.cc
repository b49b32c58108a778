#include "graph/plan/memory_plan.h"

#include <gtest/gtest.h>

#include <random>

#include "graph/ir/text.h"

namespace pelton {
namespace {

Graph Parsed(std::string_view text) {
  Result<Graph> graph = ParseGraph(text);
  EXPECT_TRUE(graph.ok()) << graph.status().message();
  return std::move(graph).value();
}

constexpr SymbolValues kSizes{8, 2, 32};

// Runs the graph symbolically: every op writes its own number over its outputs' bytes, and each
// input must still hold what its producer wrote.
void CheckThatNothingIsOverwritten(const Graph& graph) {
  const MemoryPlan plan = PlanMemory(graph, kSizes);
  std::vector<int> owner(plan.arena_bytes, -1);
  std::vector<int> writer_of(graph.num_values(), -1);
  const auto bytes = [&](ValueId root) { return ValueBytes(graph.value(root), kSizes); };
  for (size_t n = 0; n < graph.nodes.size(); ++n) {
    const Node& node = graph.nodes[n];
    if (node.kind == OpKind::kSliceCols) continue;
    for (ValueId input : node.inputs) {
      if (input == kNoValue || !plan.places[static_cast<size_t>(input)].in_arena) continue;
      const ValueId root = plan.places[static_cast<size_t>(input)].root;
      const size_t offset = plan.places[static_cast<size_t>(input)].offset;
      for (size_t b = 0; b < bytes(root); ++b) {
        ASSERT_EQ(owner[offset + b], writer_of[static_cast<size_t>(root)])
            << "node " << n << " reads %" << graph.value(input).name << " after it was overwritten";
      }
    }
    for (ValueId output : node.outputs) {
      if (output == kNoValue || !plan.places[static_cast<size_t>(output)].in_arena) continue;
      const size_t offset = plan.places[static_cast<size_t>(output)].offset;
      ASSERT_LE(offset + bytes(output), plan.arena_bytes);
      ASSERT_EQ(offset % 64, 0u);
      for (size_t b = 0; b < bytes(output); ++b) {
        owner[offset + b] = static_cast<int>(graph.num_values() * n) + output;
      }
      writer_of[static_cast<size_t>(output)] = static_cast<int>(graph.num_values() * n) + output;
    }
  }
}

TEST(MemoryPlanTest, SharesMemoryOfValuesThatAreNeverAliveTogether) {
  const Graph graph = Parsed(R"(graph "chain"
input %ids : i32[T]
const %t = stored("t" F32[16, 64]) : stored[16, 64]
const %w = stored("w" F32[64, 64]) : stored[64, 64]
%x = embedding(%ids, %t)
%a = matmul(%x, %w)
%b = matmul(%a, %w)
%c = matmul(%b, %w)
output %c
)");
  const MemoryPlan plan = PlanMemory(graph, kSizes);
  EXPECT_EQ(plan.arena_bytes, 2 * 8 * 64 * sizeof(float));
  EXPECT_EQ(plan.sum_bytes, 4 * 8 * 64 * sizeof(float));
  CheckThatNothingIsOverwritten(graph);
}

TEST(MemoryPlanTest, WorksInPlaceWhenTheInputDies) {
  const Graph graph = Parsed(R"(graph "in place"
input %ids : i32[T]
const %t = stored("t" F32[16, 64]) : stored[16, 64]
%x = embedding(%ids, %t)
%a = silu(%x)
%b = add(%a, %a)
output %b
)");
  const MemoryPlan plan = PlanMemory(graph, kSizes);
  const auto place = [&](const char* name) {
    return plan.places[static_cast<size_t>(*graph.FindValue(name))];
  };
  EXPECT_EQ(place("a").offset, place("x").offset);
  EXPECT_NE(place("b").offset, place("a").offset) << "a is read twice by the op that would take it";
}

TEST(MemoryPlanTest, AViewKeepsItsRootAlive) {
  const Graph graph = Parsed(R"(graph "views"
input %ids : i32[T]
const %t = stored("t" F32[16, 64]) : stored[16, 64]
const %w = stored("w" F32[64, 32]) : stored[64, 32]
%x = embedding(%ids, %t)
%left = slice_cols(%x) {begin=0, count=32}
%right = slice_cols(%x) {begin=32, count=32}
%inner = slice_cols(%right) {begin=16, count=16}
%y = matmul(%left, %w)
%z = matmul(%right, %w)
%s = silu(%inner)
output %y
output %z
output %s
)");
  const MemoryPlan plan = PlanMemory(graph, kSizes);
  const auto& inner = plan.places[static_cast<size_t>(*graph.FindValue("inner"))];
  EXPECT_EQ(inner.root, *graph.FindValue("x"));
  EXPECT_EQ(inner.first_col, 48u);
  CheckThatNothingIsOverwritten(graph);
}

TEST(MemoryPlanTest, QuantisedRowsBetweenMatmulsHaveRoomForBf16) {
  const Graph graph = Parsed(R"(graph "quantised"
input %x : f32[T, 64]
const %gu = interleaved("gate" Q8_0[96, 64], "up" Q8_0[96, 64]) : stored[192, 64]
const %w = stored("w" Q8_0[64, 96]) : stored[64, 96]
%q = quantize(%x) : q8[T, 64]
%p = gated_matmul(%q, %gu) {activation="silu", quantized=1} : q8[T, 96]
%y = matmul(%p, %w)
output %y
)");
  const Uses uses(graph);
  EXPECT_TRUE(MayHoldBf16(graph, uses, *graph.FindValue("p")));
  EXPECT_FALSE(MayHoldBf16(graph, uses, *graph.FindValue("q"))) << "no matmul makes it";
  EXPECT_FALSE(MayHoldBf16(graph, uses, *graph.FindValue("y"))) << "is f32";
  // 8 rows each: the input in f32; values, scales and sums to a multiple of 64 bytes; bf16; f32.
  EXPECT_EQ(PlanMemory(graph, kSizes).sum_bytes, 8u * (4 * 64 + 128 + 2 * 96 + 4 * 64));
  CheckThatNothingIsOverwritten(graph);
}

TEST(MemoryPlanTest, RandomGraphsNeverOverwriteALiveValue) {
  std::mt19937 rng(20261125);
  for (int round = 0; round < 200; ++round) {
    std::string text =
        "graph \"random\"\ninput %ids : i32[T]\n"
        "const %t = stored(\"t\" F32[16, 32]) : stored[16, 32]\n"
        "%v0 = embedding(%ids, %t)\n";
    const int count = 3 + static_cast<int>(rng() % 20);
    const auto any = [&](int limit) { return "%v" + std::to_string(rng() % limit); };
    for (int v = 1; v < count; ++v) {
      const std::string name = "%v" + std::to_string(v);
      switch (rng() % 4) {
        case 0:
          text += name + " = silu(" + any(v) + ")\n";
          break;
        case 1:
          text += name + " = add(" + any(v) + ", " + any(v) + ")\n";
          break;
        case 2:
          text += name + " = slice_cols(" + any(v) + ") {begin=0, count=32}\n";
          break;
        default:
          text += name + " = scale(" + any(v) + ") {by=0.5}\n";
          break;
      }
    }
    text += "output %v" + std::to_string(count - 1) + "\n";
    CheckThatNothingIsOverwritten(Parsed(text));
  }
}

}  // namespace
}  // namespace pelton
