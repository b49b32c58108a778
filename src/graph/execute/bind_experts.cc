// Mixture of experts, and matmuls of heads.
#include "graph/execute/binder.h"

namespace pelton {
namespace {

// A matmul of every expert over its rows, or of every head over its columns.
class ExpertMatmulOp final : public BoundOp {
 public:
  // `sum` has data only where the rows are added up. `pairs` is the rows' number.
  ExpertMatmulOp(const ExpertMatmulArgs& args, const ExpertSumArgs& sum, Dim pairs)
      : args_(args), sum_(sum), pairs_(pairs) {}

  size_t Prepare(const StepState& step) override {
    // An expert cannot have more rows than there are tokens.
    args_.matmul.rows = sum_.tokens = step.sizes.tokens;
    sum_.pairs = step.sizes.Of(pairs_);
    args_.sum = sum_.out == nullptr ? nullptr : &sum_;
    return ExpertMatmulUnits(args_);
  }
  void Run(size_t begin, size_t end, std::byte* scratch) const noexcept override {
    ExpertMatmul(args_, begin, end, scratch);
  }
  size_t ScratchBytes() const override { return ExpertMatmulScratchBytes(args_); }
  // Of an expert with one row; others may have others.
  const char* impl_name() const override {
    MatmulArgs one = args_.matmul;
    one.rows = 1;
    return ChooseMatmul(one, args_.kind).name;
  }

 private:
  ExpertMatmulArgs args_;
  ExpertSumArgs sum_;
  Dim pairs_;
};

class HeadMatmulOp final : public BoundOp {
 public:
  // `generated`: rows of prompts are left out.
  HeadMatmulOp(const HeadMatmulArgs& args, Dim rows, bool generated)
      : args_(args), step_args_(args), rows_(rows), generated_(generated) {}

  size_t Prepare(const StepState& step) override {
    args_.matmul.rows = step.sizes.Of(rows_);
    step_args_ = args_;
    if (generated_) {
      const size_t first = step.batch->prompt_rows;
      step_args_.matmul.rows -= first;
      step_args_.matmul.x_f32 += first * args_.matmul.x_stride;
      step_args_.matmul.out += first * args_.matmul.out_stride;
    }
    return step_args_.matmul.rows == 0 ? 0 : HeadMatmulUnits(step_args_);
  }
  void Run(size_t begin, size_t end, std::byte* scratch) const noexcept override {
    HeadMatmul(step_args_, begin, end, scratch);
  }
  size_t ScratchBytes() const override { return HeadMatmulScratchBytes(args_); }
  const char* impl_name() const override {
    return ChooseMatmul(step_args_.matmul, step_args_.kind).name;
  }

 private:
  HeadMatmulArgs args_;       // of all rows
  HeadMatmulArgs step_args_;  // of those that are computed
  Dim rows_;
  bool generated_;
};

// What is foreseen of the next layer's choices: i32 [rows, top].
struct Foreseen {
  const int32_t* ids;  // null: nothing
  Dim rows;
  size_t top;
};

// Sorts pairs by expert, and has the experts brought into memory that are read next.
class CachedExpertOrderOp final : public BoundOp {
 public:
  CachedExpertOrderOp(std::unique_ptr<BoundOp> order, ExpertCache& cache, size_t layer,
                      const int32_t* starts, const Foreseen& foreseen)
      : order_(std::move(order)),
        cache_(cache),
        layer_(layer),
        starts_(starts),
        foreseen_(foreseen) {}

  size_t Prepare(const StepState& step) override {
    if (foreseen_.ids != nullptr) {
      next_ = {foreseen_.ids, step.sizes.Of(foreseen_.rows) * foreseen_.top};
    }
    return order_->Prepare(step);
  }
  void Run(size_t begin, size_t end, std::byte* scratch) const noexcept override {
    // One unit, and so one thread.
    order_->Run(begin, end, scratch);
    cache_.Use(layer_, starts_);
    if (!next_.empty()) cache_.Foresee(layer_ + 1, next_);
  }
  size_t ScratchBytes() const override { return order_->ScratchBytes(); }
  const char* impl_name() const override { return order_->impl_name(); }

 private:
  const std::unique_ptr<BoundOp> order_;
  ExpertCache& cache_;
  const size_t layer_;
  const int32_t* const starts_;
  const Foreseen foreseen_;
  std::span<const int32_t> next_;
};

}  // namespace

std::unique_ptr<BoundOp> Binder::WithExpertCache(std::unique_ptr<BoundOp> order) const {
  ExpertCache* const cache = c_.weights.experts();
  if (cache == nullptr) return order;
  Foreseen foreseen{};
  if (Present(In(1))) foreseen = {I32(In(1)), ValueOf(In(1)).shape.rows(), Cols(In(1))};
  return std::make_unique<CachedExpertOrderOp>(
      std::move(order), *cache, c_.weights.ExpertLayer(Out(1)), I32(Out(1)), foreseen);
}

std::unique_ptr<BoundOp> Binder::Route() const {
  RouteArgs args{};
  args.logits = F32(In(0));
  args.bias = F32(In(1));
  args.ids = I32(Out(0));
  args.weights = F32(Out(1));
  args.logits_stride = Stride(In(0));
  args.experts = Cols(In(0));
  args.top = Attr("top");
  args.groups = Attr("groups");
  args.top_groups = Attr("top_groups");
  const std::string& scoring = node_.Text("scoring");
  args.scoring = scoring == "softmax"   ? RouterScoring::kSoftmax
                 : scoring == "sigmoid" ? RouterScoring::kSigmoid
                                        : RouterScoring::kSqrtSoftplus;
  args.choices = F32(In(2));
  args.choices_stride = Stride(In(2));
  args.normalise = Attr("normalise") != 0;
  args.scale = Number("by");
  return MakeTableOp(
      RouteImpls(), args,
      [](RouteArgs& a, const StepState& step) { return a.tokens = step.sizes.tokens; },
      RouteScratchBytes);
}

std::unique_ptr<BoundOp> Binder::ExpertRows() const {
  ExpertRowsArgs args{.order = I32(In(1)), .top = Attr("top")};
  if (ValueOf(In(0)).type == ElementType::kQuantizedRows) {
    args.x = RowsIf(In(0));
    args.out = RowsIf(Out());
    args.row_bytes = args.x_row_bytes = args.out_row_bytes = QuantizedRows::RowBytes(Cols(In(0)));
  } else {
    args.x = reinterpret_cast<const std::byte*>(F32(In(0)));
    args.out = reinterpret_cast<std::byte*>(F32(Out()));
    args.row_bytes = Cols(In(0)) * sizeof(float);
    args.x_row_bytes = Stride(In(0)) * sizeof(float);
    args.out_row_bytes = Stride(Out()) * sizeof(float);
  }
  return MakeTableOp(ExpertRowsImpls(), args,
                     [rows = RowsOf(Out())](ExpertRowsArgs& a, const StepState& step) {
                       return a.pairs = rows(step);
                     });
}

std::unique_ptr<BoundOp> Binder::BindExpertMatmul(bool gated, bool summed) const {
  ExpertMatmulArgs args{};
  MatmulArgs& matmul = args.matmul;
  matmul.x_f32 = F32If(In(0));
  matmul.x_quantized = RowsIf(In(0));
  matmul.x_stride = Stride(In(0));
  matmul.weights = c_.weights.Weights(In(1));
  if (gated) {
    matmul.gate = Gate();
    matmul.gate_limit = GateLimit();
  }
  matmul.bias = F32(In(summed ? 5 : 3));
  args.begin = I32(In(2));
  args.end = args.begin + 1;
  args.experts = Attr("experts");
  args.expert_bytes = c_.weights.GroupBytes(In(1));
  args.kind = RowsKind();
  ExpertSumArgs sum{};
  if (summed) {
    sum = SumOf(In(3), In(4));
  } else {
    matmul.out = F32If(Out());
    matmul.out_quantized = RowsIf(Out());
    matmul.out_stride = Stride(Out());
  }
  return std::make_unique<ExpertMatmulOp>(args, sum, ValueOf(In(0)).shape.rows());
}

std::unique_ptr<BoundOp> Binder::BindHeadMatmul() const {
  HeadMatmulArgs args{};
  args.matmul.x_f32 = F32(In(0));
  args.matmul.x_stride = Stride(In(0));
  args.matmul.weights = c_.weights.Weights(In(1));
  args.matmul.out = F32(Out());
  args.matmul.out_stride = Stride(Out());
  args.heads = Attr("heads");
  args.head_bytes = c_.weights.GroupBytes(In(1));
  args.kind = RowsKind();
  const Dim rows = ValueOf(In(0)).shape.rows();
  PELTON_CHECK(!OfGenerated() || rows == Dim(1, Symbol::kTokens), "a step's first rows are told");
  return std::make_unique<HeadMatmulOp>(args, rows, OfGenerated());
}

}  // namespace pelton
