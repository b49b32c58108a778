#include "models/build/mixture.h"

#include <fmt/format.h>

#include "models/build/gate.h"

namespace pelton {
namespace {

// Reads the experts of a layer. What failed is in the reader's status.
class ExpertReader {
 public:
  ExpertReader(const ModelConfig& config, const TensorNames& names, uint32_t layer,
               TensorReader* tensors, Graph* graph)
      : moe_(*config.moe),
        names_(names),
        layer_(layer),
        hidden_(config.hidden),
        inner_(moe_.intermediate),
        experts_(moe_.experts),
        tensors_(*tensors),
        graph_(*graph) {
    mixtral_ = tensors_.Has(names.Layer(layer, "", "block_sparse_moe.gate.weight"));
    router_ = !mixtral_ && tensors_.Has(names.Layer(layer, "", "mlp.router.weight"));
  }

  void Read() {
    if (router_) return ReadJoined();
    gate = Separate("ffn_gate_exps", "block_sparse_moe.experts.{}.w1.weight",
                    "mlp.experts.{}.gate_proj.weight", inner_, hidden_);
    up = Separate("ffn_up_exps", "block_sparse_moe.experts.{}.w3.weight",
                  "mlp.experts.{}.up_proj.weight", inner_, hidden_);
    down = Separate("ffn_down_exps", "block_sparse_moe.experts.{}.w2.weight",
                    "mlp.experts.{}.down_proj.weight", hidden_, inner_);
  }

  // Logits of the experts for rows `x`.
  ValueId Logits(ValueId x) {
    const std::string_view in_folder = mixtral_  ? "block_sparse_moe.gate.weight"
                                       : router_ ? "mlp.router.weight"
                                                 : "mlp.gate.weight";
    const ValueId weight =
        tensors_.Matrix(names_.Layer(layer_, "ffn_gate_inp.weight", in_folder), experts_, hidden_);
    if (weight == kNoValue) return kNoValue;
    const ValueId logits = graph_.Add(OpKind::kMatmul, {x, weight});
    if (!moe_.biases) return logits;
    const ValueId bias =
        tensors_.List(names_.Layer(layer_, "ffn_gate_inp.bias", "mlp.router.bias"), experts_);
    return bias == kNoValue ? kNoValue : graph_.Add(OpKind::kAdd, {logits, bias});
  }

  ExpertMatrix gate, up, down;

 private:
  // A tensor of all experts in GGUF, one each in a folder.
  ExpertMatrix Separate(std::string_view in_gguf, std::string_view in_mixtral,
                        std::string_view in_folder, int64_t rows, int64_t cols) {
    ExpertMatrix out;
    const auto name_of = [&](int64_t expert) {
      return names_.Layer(layer_, "",
                          fmt::format(fmt::runtime(mixtral_ ? in_mixtral : in_folder), expert));
    };
    out.weight = names_.gguf ? tensors_.JoinedMatrices(
                                   names_.Layer(layer_, fmt::format("{}.weight", in_gguf), ""),
                                   experts_, rows, cols)
                             : tensors_.Matrices(name_of, experts_, rows, cols);
    if (!moe_.biases) return out;
    const std::string name = names_.Layer(layer_, fmt::format("{}.bias", in_gguf), "");
    out.bias = graph_.AddNumbers(name, tensors_.Floats(name, {experts_, rows}));
    return out;
  }

  // Of gpt-oss in a folder: inputs by outputs, gate and up in turn.
  void ReadJoined() {
    const std::string gate_up = names_.Layer(layer_, "", "mlp.experts.gate_up_proj");
    const std::string down_name = names_.Layer(layer_, "", "mlp.experts.down_proj");
    if (tensors_.Has(gate_up + "_blocks")) {
      gate.weight = tensors_.Float4Matrices(gate_up, experts_, inner_, hidden_, 0, 2);
      up.weight = tensors_.Float4Matrices(gate_up, experts_, inner_, hidden_, 1, 2);
      down.weight = tensors_.Float4Matrices(down_name, experts_, hidden_, inner_, 0, 1);
    } else {
      gate.weight = tensors_.TransposedMatrices(gate_up, experts_, inner_, hidden_, 0, 2);
      up.weight = tensors_.TransposedMatrices(gate_up, experts_, inner_, hidden_, 1, 2);
      down.weight = tensors_.TransposedMatrices(down_name, experts_, hidden_, inner_, 0, 1);
    }
    const std::vector<float> both = tensors_.Floats(gate_up + "_bias", {experts_, 2 * inner_});
    std::vector<float> of_gate, of_up;
    for (size_t i = 0; i < both.size(); i += 2) {
      of_gate.push_back(both[i]);
      of_up.push_back(both[i + 1]);
    }
    gate.bias = graph_.AddNumbers(gate_up + "_bias.gate", std::move(of_gate));
    up.bias = graph_.AddNumbers(gate_up + "_bias.up", std::move(of_up));
    down.bias = graph_.AddNumbers(down_name + "_bias",
                                  tensors_.Floats(down_name + "_bias", {experts_, hidden_}));
  }

  const MoeConfig& moe_;
  const TensorNames& names_;
  const uint32_t layer_;
  const int64_t hidden_;
  const int64_t inner_;
  const int64_t experts_;
  TensorReader& tensors_;
  Graph& graph_;
  bool mixtral_ = false;
  bool router_ = false;
};

}  // namespace

ValueId AddExperts(const ModelConfig& config, ValueId x, const std::vector<ValueId>& choice,
                   const ExpertMatrix& gate, const ExpertMatrix& up, const ExpertMatrix& down,
                   Graph* graph) {
  const int64_t experts = config.moe->experts, top = config.moe->top;
  const std::vector<ValueId> sorted =
      graph->AddMulti(OpKind::kExpertOrder, {choice[0]}, {{"experts", experts}});
  const ValueId order = sorted[0], starts = sorted[1];
  const ValueId rows = graph->Add(OpKind::kExpertRows, {x, order}, {{"top", top}});
  const auto multiply = [&](ValueId in, const ExpertMatrix& matrix) {
    return graph->Add(OpKind::kExpertMatmul, {in, matrix.weight, starts, matrix.bias},
                      {{"experts", experts}});
  };
  const ValueId gated = multiply(rows, gate);
  const ValueId product = AddGate(config, gated, multiply(rows, up), graph);
  return graph->Add(OpKind::kExpertSum, {multiply(product, down), order, choice[1]});
}

ValueId AddMixture(const ModelConfig& config, const TensorNames& names, uint32_t layer, ValueId x,
                   TensorReader* tensors, Graph* graph) {
  const MoeConfig& moe = *config.moe;
  const int64_t hidden = config.hidden, inner = moe.intermediate, experts = moe.experts;
  ExpertReader reader(config, names, layer, tensors, graph);
  const ValueId logits = reader.Logits(x);
  ValueId bias = kNoValue;
  if (moe.selection_bias) {
    bias = tensors->List(names.Layer(layer, "exp_probs_b.bias", "mlp.gate.e_score_correction_bias"),
                         experts);
  }
  if (tensors->status().ok()) reader.Read();
  if (!tensors->status().ok()) return kNoValue;

  const std::string scoring = moe.scoring == MoeScoring::kSigmoid ? "sigmoid" : "softmax";
  const std::vector<ValueId> choice = graph->AddMulti(OpKind::kRoute, {logits, bias},
                                                      {{"top", int64_t{moe.top}},
                                                       {"groups", int64_t{moe.groups}},
                                                       {"top_groups", int64_t{moe.top_groups}},
                                                       {"scoring", scoring},
                                                       {"normalise", int64_t{moe.normalise}},
                                                       {"by", moe.scale}});
  const ValueId routed = AddExperts(config, x, choice, reader.gate, reader.up, reader.down, graph);
  if (moe.shared == 0) return routed;

  const auto shared = [&](std::string_view part, ValueId in, int64_t outputs) {
    const int64_t inputs = graph->value(in).shape.cols().factor;
    const ValueId weight =
        tensors->Matrix(names.Layer(layer, fmt::format("ffn_{}_shexp.weight", part),
                                    fmt::format("mlp.shared_experts.{}_proj.weight", part)),
                        outputs, inputs);
    return weight == kNoValue ? kNoValue : graph->Add(OpKind::kMatmul, {in, weight});
  };
  const ValueId shared_gate = shared("gate", x, inner * moe.shared);
  const ValueId shared_up = shared("up", x, inner * moe.shared);
  if (shared_gate == kNoValue || shared_up == kNoValue) return kNoValue;
  const ValueId shared_product = AddGate(config, shared_gate, shared_up, graph);
  const ValueId shared_down = shared("down", shared_product, hidden);
  return shared_down == kNoValue ? kNoValue : graph->Add(OpKind::kAdd, {shared_down, routed});
}

}  // namespace pelton
