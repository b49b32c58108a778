#pragma once

#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "base/status.h"
#include "graph/ir/graph.h"
#include "graph/plan/cost_model.h"

namespace pelton {

// What arithmetic a plan may use. docs/design/numerics.md states what each promises.
enum class Numerics : uint8_t { kExact, kFast };

// The format of the weights of matmuls: each as it is stored, or all in W8.
enum class PackedFormat : uint8_t { kStored, kW8 };

struct PassOptions {
  Numerics numerics = Numerics::kFast;
  PackedFormat weights = PackedFormat::kStored;
  int fusion_level = 3;                   // 0..3, which passes may run
  std::vector<std::string> switched_off;  // names of passes to leave out
  // Names of passes to run in both numerics, paying or not, and where they are not asked for too.
  std::vector<std::string> switched_on;
};

// InvalidArgument naming the option and the values that it may have.
Status Validate(const PassOptions& options);

// One rewrite of a graph, in place. Gives whether it changed anything.
struct Pass {
  std::string_view name;
  std::string_view what;  // one line for people
  int fusion_level;       // the lowest level that runs it
  bool fast_only;         // of Numerics::kFast
  bool must_pay;          // undone when the cost model says that the graph got slower
  bool (*run)(Graph& graph);
  PackedFormat weights = PackedFormat::kStored;  // W8: only where that is asked for
  bool on_request = false;                       // left out unless it is switched on
};

// All passes in the order in which they run.
std::span<const Pass> AllPasses();

struct PassReport {
  std::string_view name;
  bool ran = false;  // allowed by the options
  bool changed = false;
  bool undone = false;  // it did not pay
  double seconds = 0;   // that the pass itself took
  GraphCost before, after;
};

// Runs the passes that the options allow; verifies the graph after each. Internal if a pass broke
// the graph.
Result<std::vector<PassReport>> RunPasses(const PassOptions& options, Graph& graph);

// The passes; each is described in its file and in docs/design/passes.md.
bool FoldConstants(Graph& graph);
bool Simplify(Graph& graph);
bool MergeCommonSubexpressions(Graph& graph);
bool RemoveDeadCode(Graph& graph);
bool SelectRowsEarly(Graph& graph);
bool RecognizeAttention(Graph& graph);
bool ExpandLatentAttention(Graph& graph);
bool FuseRopeAndCacheWrite(Graph& graph);
bool FuseEpilogues(Graph& graph);
bool MergeSiblingMatmuls(Graph& graph);
bool FuseNorms(Graph& graph);
bool AssignPrecision(Graph& graph);
bool FoldQuantize(Graph& graph);
bool PackWeights(Graph& graph);
bool UseW8Weights(Graph& graph);
bool ForeseeExperts(Graph& graph);

}  // namespace pelton
