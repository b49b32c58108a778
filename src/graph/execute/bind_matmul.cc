// Matmuls of one matrix.
#include "graph/execute/binder.h"

namespace pelton {
namespace {

// Matmul chooses anew for each number of rows, for those of prompts apart where they are told.
class MatmulOp final : public BoundOp {
 public:
  // `rows` are those of the step's tokens or of its logits; `x_bf16` and `out_bf16` say what rows
  // of prompts hold.
  MatmulOp(MatmulArgs args, Dim rows, bool need_invariant, bool prompts_apart, bool x_bf16,
           bool out_bf16)
      : args_(args),
        x_bf16_(x_bf16),
        out_bf16_(out_bf16),
        rows_(rows),
        need_invariant_(need_invariant),
        prompts_apart_(need_invariant && prompts_apart && rows.symbol == Symbol::kTokens) {}

  size_t Prepare(const StepState& step) override {
    args_.rows = step.sizes.Of(rows_);
    num_parts_ = 0;
    const MatmulRows others = need_invariant_ ? MatmulRows::kGenerated : MatmulRows::kAny;
    const size_t prompts = PromptsDiffer() ? step.batch->prompt_rows : 0;
    if (prompts > 0) AddPart(0, prompts, MatmulRows::kPrompt);
    if (prompts < args_.rows) AddPart(prompts, args_.rows - prompts, others);
    return num_parts_ == 0 ? 0 : MatmulUnits(args_);
  }
  void Run(size_t begin, size_t end, std::byte* scratch) const noexcept override {
    for (size_t i = 0; i < num_parts_; ++i) {
      parts_[i].impl->run(parts_[i].args, begin, end, scratch);
    }
  }
  bool PromptsDiffer() const override {
    return prompts_apart_ && !ChooseMatmul(args_, MatmulRows::kPrompt).invariant;
  }
  size_t ScratchBytes() const override { return MatmulScratchBytes(args_); }
  // Of the first rows.
  const char* impl_name() const override { return num_parts_ == 0 ? "" : parts_[0].impl->name; }

 private:
  struct Part {
    MatmulArgs args;
    const MatmulImpl* impl;
  };

  // Of the prompts' rows, which come first.
  static size_t RowBytes(size_t cols, bool bf16) {
    return bf16 ? QuantizedRows::Bf16RowBytes(cols) : QuantizedRows::RowBytes(cols);
  }
  void AddPart(size_t first, size_t count, MatmulRows rows) {
    Part& part = parts_[num_parts_++];
    MatmulArgs& args = part.args = args_;
    args.rows = count;
    const size_t columns =
        args.gate == GateActivation::kNone ? args.weights.rows : args.weights.rows / 2;
    if (args.x_f32 != nullptr) args.x_f32 += first * args.x_stride;
    if (args.x_quantized != nullptr) {
      args.x_quantized += first * RowBytes(args.weights.cols, x_bf16_);
    }
    if (args.residual != nullptr) args.residual += first * args.residual_stride;
    if (args.out != nullptr) args.out += first * args.out_stride;
    if (args.out_quantized != nullptr) {
      args.out_quantized += first * RowBytes(columns, out_bf16_);
    }
    args.x_bf16 = x_bf16_ && rows == MatmulRows::kPrompt;
    args.out_bf16 = out_bf16_ && rows == MatmulRows::kPrompt;
    part.impl = &ChooseMatmul(args, rows);
  }

  MatmulArgs args_;  // of all rows
  bool x_bf16_;
  bool out_bf16_;
  Dim rows_;
  bool need_invariant_;
  bool prompts_apart_;
  Part parts_[2];
  size_t num_parts_ = 0;
};

}  // namespace

std::unique_ptr<BoundOp> Binder::Matmul(bool gated) const {
  MatmulArgs args{};
  args.x_f32 = F32If(In(0));
  args.x_quantized = RowsIf(In(0));
  args.x_stride = Stride(In(0));
  args.weights = c_.weights.Weights(In(1));
  args.out = F32If(Out());
  args.out_quantized = RowsIf(Out());
  args.out_stride = Stride(Out());
  if (gated) {
    args.gate = Gate();
    args.gate_limit = GateLimit();
  } else {
    args.bias = F32(In(2));
    args.residual = F32(In(3));
    args.residual_stride = Present(In(3)) ? Stride(In(3)) : 0;
    if (node_.attributes.contains("activation")) args.activation = MatmulActivation::kGeluErf;
  }
  const auto in_bf16 = [&](ValueId id) {
    return !c_.bf16_rows.empty() && c_.bf16_rows[static_cast<size_t>(id)];
  };
  return std::make_unique<MatmulOp>(args, ValueOf(In(0)).shape.rows(), c_.need_invariant,
                                    c_.prompts_apart, in_bf16(In(0)), in_bf16(Out()));
}

std::vector<bool> PromptRowsInBf16(const Graph& graph) {
  const auto on_tiles = [&](int index) {
    const Node& node = graph.nodes[static_cast<size_t>(index)];
    const std::byte any{};
    MatmulArgs args{};
    if (graph.value(node.inputs[0]).type == ElementType::kQuantizedRows) args.x_quantized = &any;
    args.weights.dtype = graph.value(node.inputs[1]).constant.PackedDType();
    return !ChooseMatmul(args, MatmulRows::kPrompt).invariant;
  };
  const Uses uses(graph);
  std::vector<bool> out(graph.num_values());
  for (size_t i = 0; i < out.size(); ++i) {
    const auto id = static_cast<ValueId>(i);
    out[i] = MayHoldBf16(graph, uses, id) && on_tiles(uses.Producer(id)) &&
             std::ranges::all_of(uses.Readers(id), on_tiles);
  }
  return out;
}

}  // namespace pelton
