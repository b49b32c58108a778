// Models with experts in W8. What `exact` computes is the model whose weights are rounded so, and
// nothing else: the same numbers, rotated back, are stored in F32 and must give the same logits.
#include <fmt/format.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <cstring>
#include <map>
#include <set>

#include "golden_case.h"
#include "kernels/ops/rotate.h"

namespace pelton::golden {
namespace {

// All with experts but V3.2, whose indexer chooses too: of one tensor for all or of one each,
// transposed, with biases, with scales, quantised; and inner sizes that cannot be rotated
// (deepseek-v2-group).
const std::vector<std::string> kMixtures = {
    "mixtral",          "qwen3-moe",       "deepseek-v2-lite",     "deepseek-v2-group",
    "deepseek-v3-bf16", "deepseek-v3-fp8", "deepseek-v3-fp8-edge", "deepseek-v3-mtp",
    "gpt-oss",          "deepseek-v4"};

std::vector<Case> Mixtures() {
  std::vector<Case> cases;
  const std::optional<std::string> full = FullSet();
  for (const std::string& name : kMixtures) {
    if (!full && name != "deepseek-v3-fp8-edge") continue;
    const std::string folder = full ? *full + "/models/" : "tests/data/golden/";
    for (Case& c : LoadCases(folder + name, name)) cases.push_back(std::move(c));
  }
  return cases;
}

// A tensor as W8 has it, in F32.
std::vector<std::byte> Rounded(const StoredTensor& tensor) {
  const auto rows = static_cast<size_t>(tensor.rows), cols = static_cast<size_t>(tensor.cols);
  const PackSource source{tensor.data.data(), rows, tensor.data.size() / rows, tensor.scales};
  std::vector<std::byte> panels(*PackedBytes(DType::kW8, rows, cols));
  PackArgs args{.dtype = tensor.dtype,
                .sources = {&source, 1},
                .cols = cols,
                .interleave_panels = false,
                .out = panels.data(),
                .packed_as = DType::kW8};
  PackPanels(args, 0, PackPanelCount(args));
  const size_t panel_bytes = *PanelBytes(DType::kW8, cols);
  std::vector<std::byte> out(rows * cols * sizeof(float));
  std::vector<float> row(cols);
  for (size_t r = 0; r < rows; ++r) {
    const std::byte* const panel = panels.data() + r / kPanelRows * panel_bytes;
    const size_t lane = r % kPanelRows;
    float scale;
    std::memcpy(&scale, panel + lane * sizeof(float), sizeof(scale));
    for (size_t k = 0; k < cols; ++k) {
      const auto code = std::to_integer<int>(panel[64 + k / 4 * 4 * kPanelRows + 4 * lane + k % 4]);
      row[k] = scale * static_cast<float>(code - 128);
    }
    RotateRow(row.data(), cols);
    std::memcpy(out.data() + r * cols * sizeof(float), row.data(), cols * sizeof(float));
  }
  return out;
}

// What a plan has in W8.
struct PlannedW8 {
  std::set<const std::byte*> tensors;
  size_t experts = 0;  // matmuls of experts, of ...
  size_t all_experts = 0;
};

PlannedW8 PlanOf(Graph graph, const PassOptions& passes) {
  const auto reports = RunPasses(passes, graph);
  EXPECT_TRUE(reports.ok()) << reports.status().message();
  PlannedW8 out;
  for (const Node& node : graph.nodes) {
    if (!IsMatmul(node.kind)) continue;
    const ConstantData& weight = graph.value(node.inputs[1]).constant;
    if (node.kind != OpKind::kMatmul && node.kind != OpKind::kGatedMatmul &&
        node.kind != OpKind::kHeadMatmul) {
      ++out.all_experts;
      out.experts += weight.packed_as ? 1 : 0;
    }
    if (!weight.packed_as) continue;
    for (const StoredTensor& tensor : weight.tensors) out.tensors.insert(tensor.data.data());
  }
  return out;
}

// Multiplies by rounded weights where the plan of `passes` has W8.
void RoundWeights(const PassOptions& passes, Graph& graph) {
  const PlannedW8 plan = PlanOf(graph, passes);
  EXPECT_GT(plan.experts, 0u);
  std::map<ValueId, ValueId> rounded;
  for (Node& node : graph.nodes) {
    if (!IsMatmul(node.kind)) continue;
    const Value weight = graph.value(node.inputs[1]);
    if (!plan.tensors.contains(weight.constant.tensors[0].data.data())) continue;
    const auto [it, is_new] = rounded.try_emplace(node.inputs[1], kNoValue);
    if (is_new) {
      ConstantData data = weight.constant;
      for (StoredTensor& tensor : data.tensors) {
        ASSERT_TRUE(plan.tensors.contains(tensor.data.data()));
        graph.owned.push_back(std::make_shared<const std::vector<std::byte>>(Rounded(tensor)));
        tensor.data = *graph.owned.back();
        tensor.dtype = DType::kF32;
        tensor.scales = {};
      }
      // Another constant: a table may be embedded too, as it is stored.
      it->second = graph.AddConstant(graph.UniqueName(weight.name + ".rounded"),
                                     ElementType::kStored, weight.shape, std::move(data));
    }
    node.inputs[1] = it->second;
  }
}

std::vector<float> LogitsOf(const Case& c, Runner& runner) {
  std::vector<float> logits;
  for (const Prompt& prompt : c.prompts) {
    runner.Reset();
    const std::vector<float> of_prompt = runner.Append(prompt.ids, 64);
    logits.insert(logits.end(), of_prompt.begin(), of_prompt.end());
  }
  return logits;
}

TEST(W8ModelsTest, ExactIsTheModelWithRoundedWeights) {
  for (const Case& c : Mixtures()) {
    for (const int level : {0, 3}) {
      SCOPED_TRACE(fmt::format("{} fusion level {}", c.name, level));
      PassOptions passes{.numerics = Numerics::kExact, .fusion_level = level};
      RunnerOptions options{.passes = passes, .max_context = c.max_context};
      passes.weights = options.passes.weights = PackedFormat::kW8;
      Runner w8(c.model_path, options);
      options.passes.weights = PackedFormat::kStored;
      options.before_passes = [&](Graph& graph) { RoundWeights(passes, graph); };
      Runner rounded(c.model_path, options);
      const std::vector<float> got = LogitsOf(c, w8), want = LogitsOf(c, rounded);
      double worst = 0;
      for (size_t i = 0; i < want.size(); ++i) {
        const double error = std::abs(double{got[i]} - want[i]);
        if (!(error <= worst)) worst = error;  // NaN counts
      }
      EXPECT_LE(worst, c.float32_tolerance);
    }
  }
}

// The median over the rows of how far each is off, as a share of its root mean square.
double MedianError(const std::vector<float>& got, const std::vector<float>& want, size_t vocab) {
  std::vector<double> errors;
  for (size_t begin = 0; begin < want.size(); begin += vocab) {
    double error = 0, size = 0;
    for (size_t i = begin; i < begin + vocab; ++i) {
      error += (double{got[i]} - want[i]) * (double{got[i]} - want[i]);
      size += double{want[i]} * want[i];
    }
    errors.push_back(std::sqrt(error / size));
  }
  const auto middle = errors.begin() + static_cast<std::ptrdiff_t>(errors.size() / 2);
  std::nth_element(errors.begin(), middle, errors.end());
  return *middle;
}

// In the median row, since a router that chooses another expert makes another row of it.
// Activations are rounded as finely as weights, so that `fast` is off by sqrt(2) of what `exact`
// is.
TEST(W8ModelsTest, LogitsStayNearThoseOfStoredWeights) {
  for (const Case& c : Mixtures()) {
    RunnerOptions options{.passes = {.numerics = Numerics::kExact}, .max_context = c.max_context};
    Runner stored(c.model_path, options);
    options.passes.weights = PackedFormat::kW8;
    Runner exact(c.model_path, options);
    options.passes.numerics = Numerics::kFast;
    Runner prompts(c.model_path, options);
    options.as_prompts = false;
    Runner generated(c.model_path, options);
    const std::vector<float> want = LogitsOf(c, stored);
    const size_t vocab = stored.vocab();
    const double rounding = MedianError(LogitsOf(c, exact), want, vocab);
    const double of_prompts = MedianError(LogitsOf(c, prompts), want, vocab);
    const double of_generated = MedianError(LogitsOf(c, generated), want, vocab);
    EXPECT_LT(rounding, 0.1) << c.name;
    for (const double fast : {of_prompts, of_generated}) EXPECT_LT(fast, 1.75 * rounding) << c.name;
    fmt::print("{}: exact {:.4f}, fast {:.4f} as prompts, {:.4f} as generated\n", c.name, rounding,
               of_prompts, of_generated);
  }
}

}  // namespace
}  // namespace pelton::golden
