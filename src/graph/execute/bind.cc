#include <algorithm>
#include <utility>

#include "base/check.h"
#include "graph/execute/bound_op.h"
#include "kernels/ops/attention.h"
#include "kernels/ops/elementwise.h"
#include "kernels/ops/embedding.h"
#include "kernels/ops/layer_norm.h"
#include "kernels/ops/matmul.h"
#include "kernels/ops/rms_norm.h"
#include "kernels/ops/rope.h"

namespace pelton {
namespace {

// An op whose kernel is the best of a table. Prepare calls update(args, step), which fills in what
// depends on the step and gives the number of units.
template <typename Args, typename Update>
class TableOp final : public BoundOp {
 public:
  TableOp(const OpImpl<Args>& impl, Args args, Update update)
      : impl_(impl), args_(args), update_(std::move(update)) {}

  size_t Prepare(const StepState& step) override { return update_(args_, step); }
  void Run(size_t begin, size_t end, std::byte* scratch) const noexcept override {
    impl_.run(args_, begin, end, scratch);
  }
  size_t ScratchBytes() const override { return 0; }
  const char* impl_name() const override { return impl_.name; }

 private:
  const OpImpl<Args>& impl_;
  Args args_;
  Update update_;
};

template <typename Args, typename Update>
std::unique_ptr<BoundOp> MakeTableOp(std::span<const OpImpl<Args>> impls, Args args,
                                     Update update) {
  return std::make_unique<TableOp<Args, Update>>(ChooseImpl(impls), args, std::move(update));
}

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
  // Any implementation may be chosen for a step of fewer rows.
  size_t ScratchBytes() const override {
    size_t most = 0;
    for (const MatmulImpl& impl : MatmulImpls()) {
      const bool permitted = (impl.required_features & ~CpuFeatures()) == 0;
      if (permitted && impl.supports(args_.x_quantized != nullptr, args_.weights.dtype)) {
        most = std::max(most, impl.scratch_bytes(args_));
      }
    }
    return most;
  }
  // Of the first rows.
  const char* impl_name() const override { return num_parts_ == 0 ? "" : parts_[0].impl->name; }

 private:
  struct Part {
    MatmulArgs args;
    const MatmulImpl* impl;
  };

  void AddPart(size_t first, size_t count, MatmulRows rows) {
    Part& part = parts_[num_parts_++];
    MatmulArgs& args = part.args = args_;
    args.rows = count;
    const size_t columns =
        args.gate == GateActivation::kNone ? args.weights.rows : args.weights.rows / 2;
    if (args.x_f32 != nullptr) args.x_f32 += first * args.x_stride;
    if (args.x_quantized != nullptr) {
      args.x_quantized += first * args.x_terms * QuantizedRows::TermBytes(args.weights.cols);
    }
    if (args.residual != nullptr) args.residual += first * args.residual_stride;
    if (args.out != nullptr) args.out += first * args.out_stride;
    if (args.out_quantized != nullptr) {
      args.out_quantized += first * args.out_terms * QuantizedRows::TermBytes(columns);
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

// Attention, for the sequences of prompts apart where they are told.
class AttentionOp final : public BoundOp {
 public:
  AttentionOp(const AttentionArgs& args, bool prompts_apart)
      : args_(args),
        impl_(ChooseImpl(AttentionImpls())),
        prompt_impl_(prompts_apart ? PromptAttentionImpl(args) : nullptr) {}

  size_t Prepare(const StepState& step) override {
    const std::span<const SequenceSpan> sequences = step.batch->sequences;
    size_t prompts = 0;
    while (prompt_impl_ != nullptr && prompts < sequences.size() &&
           static_cast<size_t>(sequences[prompts].first_row) < step.batch->prompt_rows) {
      ++prompts;
    }
    SetPart(parts_[0], prompt_impl_, sequences.first(prompts));
    SetPart(parts_[1], &impl_, sequences.subspan(prompts));
    args_.sequences = sequences.data();
    args_.num_sequences = sequences.size();
    return parts_[0].units + parts_[1].units;
  }
  // Each call takes its share of both, since their units differ in work.
  void Run(size_t begin, size_t end, std::byte* scratch) const noexcept override {
    const size_t all = parts_[0].units + parts_[1].units;
    for (const Part& part : parts_) {
      const size_t first = begin * part.units / all, last = end * part.units / all;
      if (first < last) part.impl->run(part.args, first, last, scratch);
    }
  }
  size_t ScratchBytes() const override { return AttentionScratchBytes(args_); }
  bool PromptsDiffer() const override { return prompt_impl_ != nullptr; }
  const char* impl_name() const override {
    return parts_[0].units > 0 ? prompt_impl_->name : impl_.name;
  }

 private:
  struct Part {
    AttentionArgs args;
    const OpImpl<AttentionArgs>* impl;
    size_t units = 0;
  };

  void SetPart(Part& part, const OpImpl<AttentionArgs>* impl,
               std::span<const SequenceSpan> sequences) const {
    part.args = args_;
    part.args.sequences = sequences.data();
    part.args.num_sequences = sequences.size();
    part.impl = impl;
    part.units = AttentionUnits(part.args);
  }

  AttentionArgs args_;  // of all sequences
  const OpImpl<AttentionArgs>& impl_;
  const OpImpl<AttentionArgs>* prompt_impl_;  // may be null
  Part parts_[2];
};

// Addresses and strides of the values that one node touches.
class Binder {
 public:
  Binder(const BindContext& context, const Node& node) : c_(context), node_(node) {}

  std::unique_ptr<BoundOp> Bind() const;

 private:
  bool Present(ValueId id) const { return id != kNoValue; }
  const Value& ValueOf(ValueId id) const { return c_.graph.value(id); }
  ValueId In(size_t i) const { return node_.inputs[i]; }
  ValueId Out(size_t i = 0) const { return node_.outputs[i]; }
  size_t Cols(ValueId id) const {
    PELTON_CHECK(ValueOf(id).shape.cols().constant(), "these columns are known");
    return static_cast<size_t>(ValueOf(id).shape.cols().factor);
  }

  float* F32(ValueId id) const {
    if (!Present(id)) return nullptr;
    const Value& value = ValueOf(id);
    if (value.kind == ValueKind::kConstant)
      return const_cast<float*>(value.constant.numbers.data());
    const MemoryPlan::Place& place = c_.memory.places[static_cast<size_t>(id)];
    PELTON_CHECK(place.in_arena, "results are in the arena");
    return reinterpret_cast<float*>(c_.arena + place.offset) + place.first_col;
  }
  // An f32 or an 8-bit destination; the other is null.
  float* F32If(ValueId id) const {
    return Present(id) && ValueOf(id).type == ElementType::kF32 ? F32(id) : nullptr;
  }
  std::byte* RowsIf(ValueId id) const {
    if (!Present(id) || TermsOf(id) == 0) return nullptr;
    return c_.arena + c_.memory.places[static_cast<size_t>(id)].offset;
  }
  size_t TermsOf(ValueId id) const { return Present(id) ? QuantizedTerms(ValueOf(id).type) : 0; }
  const Value& RootOf(ValueId id) const {
    return ValueOf(c_.memory.places[static_cast<size_t>(id)].root);
  }
  size_t Stride(ValueId id) const {
    if (!Present(id) || ValueOf(id).type != ElementType::kF32) return 0;
    if (ValueOf(id).shape.rank() == 1) return 0;  // one list for every row
    return RowStride(RootOf(id), {});
  }
  // Rows of a value in a step.
  auto RowsOf(ValueId id) const {
    return [dim = ValueOf(id).shape.rows()](const StepState& step) { return step.sizes.Of(dim); };
  }

  std::unique_ptr<BoundOp> Embedding() const;
  std::unique_ptr<BoundOp> Matmul(bool gated) const;
  std::unique_ptr<BoundOp> Norm(ValueId x, ValueId add, ValueId weight, ValueId sum, ValueId out,
                                size_t groups) const;
  std::unique_ptr<BoundOp> Binary(BinaryKind kind) const;
  std::unique_ptr<BoundOp> Unary(UnaryKind kind, float parameter) const;
  std::unique_ptr<BoundOp> Rope() const;
  std::unique_ptr<BoundOp> RopeKvWrite() const;
  std::unique_ptr<BoundOp> Attention() const;
  std::unique_ptr<BoundOp> SelfAttention() const;
  std::unique_ptr<BoundOp> PlainAttentionPart() const;
  // The geometry of heads that are rows of the step.
  KvCacheView HeadsOf(ValueId kv) const {
    KvCacheView view{};
    view.dtype = KvDType::kF32;
    view.kv_heads = Attr("kv_heads");
    view.head_dim = Cols(kv) / view.kv_heads;
    return view;
  }

  size_t Attr(const char* name) const { return static_cast<size_t>(node_.Int(name)); }
  float Number(const char* name) const { return static_cast<float>(node_.Number(name)); }

  const BindContext& c_;
  const Node& node_;
};

// The integer inputs of a step, by the names that model builders give them.
enum class StepInput { kTokens, kPositions, kSlots, kTokenTypes, kLogitRows };

StepInput StepInputOf(const Value& value) {
  if (value.name == "tokens") return StepInput::kTokens;
  if (value.name == "positions") return StepInput::kPositions;
  if (value.name == "slots") return StepInput::kSlots;
  if (value.name == "token_types") return StepInput::kTokenTypes;
  PELTON_CHECK(value.name == "logit_rows",
               "the inputs of a model are tokens, positions, slots, token_types and logit_rows");
  return StepInput::kLogitRows;
}

const int32_t* Ints(StepInput input, const StepBatch& batch) {
  switch (input) {
    case StepInput::kTokens:
      return batch.tokens.data();
    case StepInput::kPositions:
      return batch.positions.data();
    case StepInput::kSlots:
      return batch.slots.data();
    case StepInput::kTokenTypes:
      return batch.token_types.data();
    case StepInput::kLogitRows:
      return batch.logit_rows.data();
  }
  return nullptr;
}

std::unique_ptr<BoundOp> Binder::Embedding() const {
  const StoredTensor& table = ValueOf(In(1)).constant.tensors[0];
  EmbeddingArgs args{.table = table.data.data(),
                     .dtype = table.dtype,
                     .row_bytes = table.data.size() / static_cast<size_t>(table.rows),
                     .out = F32(Out()),
                     .dim = Cols(Out()),
                     .out_stride = Stride(Out())};
  return MakeTableOp(EmbeddingImpls(), args,
                     [ids = StepInputOf(ValueOf(In(0)))](EmbeddingArgs& a, const StepState& step) {
                       a.ids = Ints(ids, *step.batch);
                       return a.tokens = step.sizes.tokens;
                     });
}

std::unique_ptr<BoundOp> Binder::Matmul(bool gated) const {
  MatmulArgs args{};
  args.x_f32 = F32If(In(0));
  args.x_quantized = RowsIf(In(0));
  args.x_terms = TermsOf(In(0));
  args.x_stride = Stride(In(0));
  args.weights = c_.weights.Weights(In(1));
  args.out = F32If(Out());
  args.out_quantized = RowsIf(Out());
  args.out_terms = TermsOf(Out());
  args.out_stride = Stride(Out());
  if (gated) {
    args.gate =
        node_.Text("activation") == "silu" ? GateActivation::kSilu : GateActivation::kGeluTanh;
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

std::unique_ptr<BoundOp> Binder::Norm(ValueId x, ValueId add, ValueId weight, ValueId sum,
                                      ValueId out, size_t groups) const {
  RmsNormArgs args{.x = F32(x),
                   .add = F32(add),
                   .weight = F32(weight),
                   .sum = F32(sum),
                   .out = F32If(out),
                   .quantized = RowsIf(out),
                   .quantized_terms = TermsOf(out),
                   .groups = groups,
                   .dim = Cols(x) / groups,
                   .x_stride = Stride(x),
                   .add_stride = Stride(add),
                   .sum_stride = Stride(sum),
                   .out_stride = Stride(out),
                   .epsilon = Number("epsilon")};
  return MakeTableOp(
      RmsNormImpls(), args,
      [rows = RowsOf(x)](RmsNormArgs& a, const StepState& step) { return a.rows = rows(step); });
}

std::unique_ptr<BoundOp> Binder::Binary(BinaryKind kind) const {
  BinaryArgs args{.kind = kind,
                  .a = F32(In(0)),
                  .b = F32(In(1)),
                  .out = F32If(Out()),
                  .quantized = RowsIf(Out()),
                  .quantized_terms = TermsOf(Out()),
                  .dim = Cols(In(0)),
                  .a_stride = Stride(In(0)),
                  .b_stride = Stride(In(1)),
                  .out_stride = Stride(Out())};
  return MakeTableOp(
      BinaryImpls(), args,
      [rows = RowsOf(In(0))](BinaryArgs& a, const StepState& step) { return a.rows = rows(step); });
}

std::unique_ptr<BoundOp> Binder::Unary(UnaryKind kind, float parameter) const {
  UnaryArgs args{.kind = kind, .parameter = parameter, .x = F32(In(0)), .out = F32(Out())};
  // Scores have columns for every key of the step's longest context.
  return MakeTableOp(UnaryImpls(), args,
                     [x = RootOf(In(0)).shape, out = RootOf(Out()).shape,
                      own = ValueOf(In(0)).shape](UnaryArgs& a, const StepState& step) {
                       a.dim = step.sizes.Of(own.cols());
                       a.x_stride = step.sizes.Of(x.cols());
                       a.out_stride = step.sizes.Of(out.cols());
                       return a.rows = step.sizes.Of(own.rows());
                     });
}

RopeArgs RopeOf(float* x, float* out, float* table, size_t x_stride, size_t out_stride,
                size_t heads, size_t cols, size_t table_cols, bool interleaved) {
  return {.x = x,
          .out = out,
          .table = table,
          .x_stride = x_stride,
          .out_stride = out_stride,
          .heads = heads,
          .head_dim = cols / heads,
          .half = table_cols / 2,
          .interleaved = interleaved};
}

std::unique_ptr<BoundOp> Binder::Rope() const {
  const RopeArgs args = RopeOf(F32(In(0)), F32(Out()), F32(In(1)), Stride(In(0)), Stride(Out()),
                               Attr("heads"), Cols(In(0)), Cols(In(1)), Attr("interleaved") != 0);
  return MakeTableOp(RopeImpls(), args, [](RopeArgs& a, const StepState& step) {
    return a.tokens = step.sizes.tokens;
  });
}

std::unique_ptr<BoundOp> Binder::RopeKvWrite() const {
  const bool interleaved = Attr("interleaved") != 0;
  RopeKvWriteArgs args{};
  args.q = RopeOf(F32(In(0)), F32(Out()), F32(In(3)), Stride(In(0)), Stride(Out()), Attr("heads"),
                  Cols(In(0)), Cols(In(3)), interleaved);
  args.k = RopeOf(F32(In(1)), nullptr, F32(In(3)), Stride(In(1)), 0, Attr("kv_heads"), Cols(In(1)),
                  Cols(In(3)), interleaved);
  args.write.v = F32(In(2));
  args.write.v_stride = Stride(In(2));
  args.write.cache = c_.cache;
  args.write.layer = Attr("layer");
  return MakeTableOp(RopeKvWriteImpls(), args, [](RopeKvWriteArgs& a, const StepState& step) {
    a.q.tokens = a.k.tokens = step.sizes.tokens;
    a.write.slots = step.batch->slots.data();
    return a.write.tokens = step.sizes.tokens;
  });
}

std::unique_ptr<BoundOp> Binder::Attention() const {
  AttentionArgs args{.q = F32(In(0)),
                     .out = F32If(Out()),
                     .out_quantized = RowsIf(Out()),
                     .out_terms = TermsOf(Out()),
                     .q_stride = Stride(In(0)),
                     .out_stride = Stride(Out()),
                     .heads = Attr("heads"),
                     .cache = c_.cache,
                     .layer = Attr("layer"),
                     .scale = Number("scale"),
                     .soft_cap = Number("cap"),
                     .window = static_cast<int32_t>(node_.Int("window"))};
  return std::make_unique<AttentionOp>(args, c_.prompts_apart);
}

std::unique_ptr<BoundOp> Binder::SelfAttention() const {
  AttentionArgs args{.q = F32(In(0)),
                     .out = F32If(Out()),
                     .out_quantized = RowsIf(Out()),
                     .out_terms = TermsOf(Out()),
                     .q_stride = Stride(In(0)),
                     .out_stride = Stride(Out()),
                     .heads = Attr("heads"),
                     .cache = HeadsOf(In(1)),
                     .scale = Number("scale"),
                     .rows = {.k = F32(In(1)),
                              .v = F32(In(2)),
                              .k_stride = Stride(In(1)),
                              .v_stride = Stride(In(2))},
                     .causal = false};
  return std::make_unique<AttentionOp>(args, c_.prompts_apart);
}

// Units of the plain attention ops are (row, head) pairs; a row of scores has `heads` parts as long
// as the step's longest context.
std::unique_ptr<BoundOp> Binder::PlainAttentionPart() const {
  const auto common = [](auto& a, const StepState& step) {
    a.sequences = step.batch->sequences.data();
    a.num_sequences = step.batch->sequences.size();
    return step.sizes.tokens * a.heads;
  };
  const size_t heads = Attr("heads");
  const bool cached = node_.kind == OpKind::kKvScores || node_.kind == OpKind::kMaskedSoftmax ||
                      node_.kind == OpKind::kKvMix;
  if (node_.kind == OpKind::kKvScores || node_.kind == OpKind::kScores) {
    KvScoresArgs args{
        .q = F32(In(0)), .q_stride = Stride(In(0)), .scores = F32(Out()), .heads = heads};
    if (cached) {
      args.cache = c_.cache;
      args.layer = Attr("layer");
    } else {
      args.cache = HeadsOf(In(1));
      args.rows = {.k = F32(In(1)), .k_stride = Stride(In(1))};
    }
    return MakeTableOp(KvScoresImpls(), args, [common](KvScoresArgs& a, const StepState& step) {
      a.scores_stride = step.sizes.context;
      return common(a, step);
    });
  }
  if (node_.kind == OpKind::kMaskedSoftmax || node_.kind == OpKind::kSoftmax) {
    PELTON_CHECK(F32(In(0)) == F32(Out()), "the softmax works in place");
    MaskedSoftmaxArgs args{.scores = F32(Out()),
                           .heads = heads,
                           .window = cached ? static_cast<int32_t>(node_.Int("window")) : 0,
                           .causal = cached};
    return MakeTableOp(MaskedSoftmaxImpls(), args,
                       [common](MaskedSoftmaxArgs& a, const StepState& step) {
                         a.scores_stride = step.sizes.context;
                         return common(a, step);
                       });
  }
  KvMixArgs args{
      .weights = F32(In(0)), .out = F32(Out()), .out_stride = Stride(Out()), .heads = heads};
  if (cached) {
    args.cache = c_.cache;
    args.layer = Attr("layer");
  } else {
    args.cache = HeadsOf(In(1));
    args.rows = {.v = F32(In(1)), .v_stride = Stride(In(1))};
  }
  return MakeTableOp(KvMixImpls(), args, [common](KvMixArgs& a, const StepState& step) {
    a.weights_stride = step.sizes.context;
    return common(a, step);
  });
}

std::unique_ptr<BoundOp> Binder::Bind() const {
  switch (node_.kind) {
    case OpKind::kSliceCols:
      return nullptr;
    case OpKind::kEmbedding:
      return Embedding();
    case OpKind::kMatmul:
      return Matmul(false);
    case OpKind::kGatedMatmul:
      return Matmul(true);
    case OpKind::kRmsNorm:
      return Norm(In(0), kNoValue, In(1), kNoValue, Out(), Attr("groups"));
    case OpKind::kLayerNorm: {
      LayerNormArgs args{.x = F32(In(0)),
                         .weight = F32(In(1)),
                         .bias = F32(In(2)),
                         .out = F32If(Out()),
                         .quantized = RowsIf(Out()),
                         .quantized_terms = TermsOf(Out()),
                         .dim = Cols(In(0)),
                         .x_stride = Stride(In(0)),
                         .out_stride = Stride(Out()),
                         .epsilon = Number("epsilon")};
      return MakeTableOp(LayerNormImpls(), args,
                         [rows = RowsOf(In(0))](LayerNormArgs& a, const StepState& step) {
                           return a.rows = rows(step);
                         });
    }
    case OpKind::kAddRmsNorm:
      return Norm(In(0), In(1), In(2), Out(0), Out(1), 1);
    case OpKind::kAdd:
      return Binary(BinaryKind::kAdd);
    case OpKind::kMul:
      return Binary(BinaryKind::kMul);
    case OpKind::kGatedMul:
      return Binary(node_.Text("activation") == "silu" ? BinaryKind::kSiluMul
                                                       : BinaryKind::kGeluTanhMul);
    case OpKind::kSilu:
      return Unary(UnaryKind::kSilu, 0);
    case OpKind::kGeluTanh:
      return Unary(UnaryKind::kGeluTanh, 0);
    case OpKind::kGeluErf:
      return Unary(UnaryKind::kGeluErf, 0);
    case OpKind::kScale:
      return Unary(UnaryKind::kScale, Number("by"));
    case OpKind::kSoftCap:
      return Unary(UnaryKind::kSoftCap, Number("cap"));
    case OpKind::kQuantize: {
      QuantizeRowsArgs args{.x = F32(In(0)),
                            .out = RowsIf(Out()),
                            .terms = TermsOf(Out()),
                            .dim = Cols(In(0)),
                            .x_stride = Stride(In(0))};
      return MakeTableOp(QuantizeRowsImpls(), args,
                         [rows = RowsOf(In(0))](QuantizeRowsArgs& a, const StepState& step) {
                           return a.rows = rows(step);
                         });
    }
    case OpKind::kGatherRows: {
      GatherRowsArgs args{.x = F32(In(0)),
                          .out = F32(Out()),
                          .dim = Cols(In(0)),
                          .x_stride = Stride(In(0)),
                          .out_stride = Stride(Out())};
      return MakeTableOp(
          GatherRowsImpls(), args,
          [rows = StepInputOf(ValueOf(In(1)))](GatherRowsArgs& a, const StepState& step) {
            a.indices = Ints(rows, *step.batch);
            return a.rows = step.sizes.logit_rows;
          });
    }
    case OpKind::kRopeTable: {
      RopeTableArgs args{.frequencies = F32(In(1)),
                         .table = F32(Out()),
                         .half = Cols(Out()) / 2,
                         .magnitude = Number("magnitude")};
      return MakeTableOp(
          RopeTableImpls(), args,
          [positions = StepInputOf(ValueOf(In(0)))](RopeTableArgs& a, const StepState& step) {
            a.positions = Ints(positions, *step.batch);
            return a.tokens = step.sizes.tokens;
          });
    }
    case OpKind::kRope:
      return Rope();
    case OpKind::kKvWrite: {
      KvWriteArgs args{.k = F32(In(0)),
                       .v = F32(In(1)),
                       .k_stride = Stride(In(0)),
                       .v_stride = Stride(In(1)),
                       .cache = c_.cache,
                       .layer = Attr("layer")};
      return MakeTableOp(KvWriteImpls(), args, [](KvWriteArgs& a, const StepState& step) {
        a.slots = step.batch->slots.data();
        return a.tokens = step.sizes.tokens;
      });
    }
    case OpKind::kRopeKvWrite:
      return RopeKvWrite();
    case OpKind::kAttention:
      return Attention();
    case OpKind::kSelfAttention:
      return SelfAttention();
    case OpKind::kKvScores:
    case OpKind::kMaskedSoftmax:
    case OpKind::kKvMix:
    case OpKind::kScores:
    case OpKind::kSoftmax:
    case OpKind::kMix:
      return PlainAttentionPart();
    case OpKind::kRopeFrequencies:
      break;  // always folded before a plan is made
  }
  PELTON_CHECK(false, "rope_frequencies is folded before a graph is bound");
  return nullptr;
}

}  // namespace

std::vector<bool> PromptRowsInBf16(const Graph& graph) {
  const auto on_tiles = [&](int index) {
    if (index < 0) return false;
    const Node& node = graph.nodes[static_cast<size_t>(index)];
    if (node.kind != OpKind::kMatmul && node.kind != OpKind::kGatedMatmul) return false;
    const std::byte any{};
    MatmulArgs args{};
    if (QuantizedTerms(graph.value(node.inputs[0]).type) > 0) args.x_quantized = &any;
    args.weights.dtype = graph.value(node.inputs[1]).constant.tensors[0].dtype;
    return !ChooseMatmul(args, MatmulRows::kPrompt).invariant;
  };
  const Uses uses(graph);
  std::vector<bool> out(graph.num_values());
  for (size_t i = 0; i < out.size(); ++i) {
    const auto id = static_cast<ValueId>(i);
    const Value& value = graph.value(id);
    if (QuantizedTerms(value.type) != 2 || uses.IsOutput(id)) continue;
    out[i] = value.shape.rows().symbol == Symbol::kTokens && on_tiles(uses.Producer(id)) &&
             std::ranges::all_of(uses.Readers(id), on_tiles);
  }
  return out;
}

std::unique_ptr<BoundOp> BindNode(const BindContext& context, const Node& node) {
  return Binder(context, node).Bind();
}

}  // namespace pelton
