#include "graph/passes/passes.h"

#include <fmt/format.h>

#include <algorithm>
#include <chrono>

#include "graph/ir/verify.h"

namespace pelton {
namespace {

constexpr Pass kPasses[] = {
    {"fold-constants", "compute what is known when the graph is built", 0, false, false,
     FoldConstants},
    {"simplify", "drop ops that change nothing", 1, false, false, Simplify},
    {"merge-common-subexpressions", "compute equal ops once", 1, false, false,
     MergeCommonSubexpressions},
    {"remove-dead-code", "drop results that nobody reads", 1, false, false, RemoveDeadCode},
    {"recognize-attention", "scores, softmax and mix in one op", 1, false, true,
     RecognizeAttention},
    {"expand-latent-attention", "keys and values of heads for rows of prompts", 1, false, false,
     ExpandLatentAttention, PackedFormat::kStored, true},
    {"fuse-rope-and-cache-write", "rotate k on its way into the cache", 1, false, true,
     FuseRopeAndCacheWrite},
    {"select-rows-early", "run the last layer for rows whose logits are wanted", 3, false, true,
     SelectRowsEarly},
    {"fuse-epilogues", "bias, activation, product and residual inside the matmul", 2, false, true,
     FuseEpilogues},
    {"merge-sibling-matmuls", "q, k and v in one matmul", 3, false, true, MergeSiblingMatmuls},
    {"fuse-norms", "residual sum and norm in one pass", 2, false, true, FuseNorms},
    {"use-w8-weights", "weights in 8 bits with one scale a row, rotated", 0, false, false,
     UseW8Weights, PackedFormat::kW8},
    {"assign-precision", "8- or 16-bit activations for quantised weights", 0, true, false,
     AssignPrecision},
    {"fold-quantize", "ops give their result quantised themselves", 2, true, true, FoldQuantize},
    {"pack-weights", "lay weights out in panels", 0, false, false, PackWeights},
    {"remove-unread", "drop results that fused ops left behind", 1, false, false, RemoveDeadCode},
    {"foresee-experts", "guess the next layer's experts, to read them early", 0, false, false,
     ForeseeExperts, PackedFormat::kStored, true},
};

double Predicted(const GraphCost& decode, const GraphCost& prefill) {
  // A short conversation: a prompt of 512 tokens and an answer of 128.
  return decode.seconds * 128 + prefill.seconds;
}

}  // namespace

Status Validate(const PassOptions& options) {
  if (options.fusion_level < 0 || options.fusion_level > 3) {
    return InvalidArgument(
        fmt::format("fusion level: found {}, expected 0 to 3", options.fusion_level));
  }
  const auto check_known = [](std::string_view what, const std::string& name) {
    const bool known = std::any_of(std::begin(kPasses), std::end(kPasses),
                                   [&](const Pass& pass) { return pass.name == name; });
    if (known) return OkStatus();
    return InvalidArgument(
        fmt::format("pass to switch {}: found \"{}\", expected a name that inspect --passes lists",
                    what, name));
  };
  for (const std::string& name : options.switched_on) RETURN_IF_ERROR(check_known("on", name));
  for (const std::string& name : options.switched_off) {
    RETURN_IF_ERROR(check_known("off", name));
    if (name == "pack-weights" || name == "assign-precision" || name == "fold-constants") {
      return InvalidArgument(
          fmt::format("pass {} cannot be switched off: every plan needs it", name));
    }
  }
  return OkStatus();
}

std::span<const Pass> AllPasses() { return kPasses; }

Result<std::vector<PassReport>> RunPasses(const PassOptions& options, Graph& graph) {
  RETURN_IF_ERROR(Validate(options));
  RETURN_IF_ERROR(VerifyGraph(graph));
  const MachineModel machine;
  std::vector<PassReport> reports;
  GraphCost decode = CostOf(graph, kDecodeStep, machine);
  GraphCost prefill = CostOf(graph, kPrefillStep, machine);
  for (const Pass& pass : kPasses) {
    PassReport& report = reports.emplace_back();
    report.name = pass.name;
    report.before = report.after = decode;
    const auto lists = [&](const std::vector<std::string>& names) {
      return std::find(names.begin(), names.end(), pass.name) != names.end();
    };
    const bool on = lists(options.switched_on);
    if (lists(options.switched_off) || (pass.on_request && !on) ||
        pass.fusion_level > options.fusion_level ||
        (pass.fast_only && !on && options.numerics != Numerics::kFast) ||
        (pass.weights != PackedFormat::kStored && pass.weights != options.weights)) {
      continue;
    }
    report.ran = true;
    const auto start = std::chrono::steady_clock::now();
    // Numbering of values only grows, so the nodes and outputs are all that a pass must get back.
    const std::vector<Node> nodes = pass.must_pay ? graph.nodes : std::vector<Node>();
    const std::vector<ValueId> outputs = graph.outputs;
    report.changed = pass.run(graph);
    report.seconds =
        std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
    if (!report.changed) continue;
    if (const Status status = VerifyGraph(graph); !status.ok()) {
      return status.WithContext(fmt::format("after pass {}", pass.name));
    }
    const GraphCost new_decode = CostOf(graph, kDecodeStep, machine);
    const GraphCost new_prefill = CostOf(graph, kPrefillStep, machine);
    if (pass.must_pay && !on && Predicted(new_decode, new_prefill) > Predicted(decode, prefill)) {
      graph.nodes = nodes;
      graph.outputs = outputs;
      report.undone = true;
      continue;
    }
    decode = report.after = new_decode;
    prefill = new_prefill;
  }
  return reports;
}

}  // namespace pelton
