// Attention, whole and in parts.
#include "graph/execute/bind_indexer.h"
#include "graph/execute/binder.h"
#include "kernels/ops/attention.h"

namespace pelton {
namespace {

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

}  // namespace

std::unique_ptr<BoundOp> Binder::Attention() const {
  CheckQueryParts();
  const bool sparse = node_.kind == OpKind::kSparseAttention;
  AttentionArgs args{.q = F32(In(0)),
                     .out = F32If(Out()),
                     .out_quantized = RowsIf(Out()),
                     .q_stride = Stride(In(0)),
                     .out_stride = Stride(Out()),
                     .heads = Attr("heads"),
                     .cache = c_.cache,
                     .layer = Attr("layer"),
                     .scale = Number("scale"),
                     .soft_cap = sparse ? 0 : Number("cap"),
                     .window = sparse ? 0 : static_cast<int32_t>(node_.Int("window")),
                     .q_rope = F32(In(2)),
                     .q_rope_stride = Stride(In(2)),
                     .sinks = sparse ? nullptr : F32(In(3)),
                     .positions = sparse ? I32(In(3)) : nullptr,
                     .top = sparse ? Cols(In(3)) : 0};
  return std::make_unique<AttentionOp>(args, c_.prompts_apart);
}

std::unique_ptr<BoundOp> Binder::SelfAttention() const {
  AttentionArgs args{.q = F32(In(0)),
                     .out = F32If(Out()),
                     .out_quantized = RowsIf(Out()),
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
      CheckQueryParts();
      args.cache = c_.cache;
      args.layer = Attr("layer");
      args.q_rope = F32(In(2));
      args.q_rope_stride = Stride(In(2));
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
                           .causal = cached,
                           .sinks = cached ? F32(In(1)) : nullptr};
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

std::unique_ptr<BoundOp> Binder::IndexWrite() const {
  PELTON_CHECK(Cols(In(0)) == c_.cache.index_dim, "the cache holds the indexer's keys");
  return BindIndexWrite({.k = F32(In(0)),
                         .k_stride = Stride(In(0)),
                         .tokens = 0,
                         .cache = c_.cache,
                         .layer = Attr("layer"),
                         .slots = nullptr});
}

std::unique_ptr<BoundOp> Binder::IndexScores() const {
  IndexScoresArgs args{};
  args.ratio = AttrOr("ratio", 1);
  args.first_lane = AttrOr("begin", 0);
  args.dim = Cols(In(0)) / Attr("heads");
  PELTON_CHECK(args.ratio > 1 ? args.first_lane + args.dim <= c_.cache.index_dim
                              : args.dim == c_.cache.index_dim,
               "the indexer's queries have the size of its keys");
  args.q = F32(In(0));
  args.weights = F32(In(1));
  args.scores = F32(Out());
  args.q_stride = Stride(In(0));
  args.weights_stride = Stride(In(1));
  args.heads = Attr("heads");
  args.cache = c_.cache;
  args.layer = Attr("layer");
  return BindIndexScores(args);
}

}  // namespace pelton
