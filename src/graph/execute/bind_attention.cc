// Attention, whole and in parts.
#include "graph/execute/bind_indexer.h"
#include "graph/execute/binder.h"
#include "kernels/ops/attention.h"
#include "kernels/ops/expanded_attention.h"

namespace pelton {
namespace {

// The sequences of a step whose rows are of prompts, which come first.
std::span<const SequenceSpan> PromptsOf(const StepBatch& batch) {
  size_t prompts = 0;
  while (prompts < batch.sequences.size() &&
         static_cast<size_t>(batch.sequences[prompts].first_row) < batch.prompt_rows) {
    ++prompts;
  }
  return batch.sequences.first(prompts);
}

// Attention, for the sequences of prompts apart where they are told. Where units of heads would not
// keep all workers busy, each worker takes a portion of the keys, and what is cut is merged.
class AttentionOp final : public BoundOp {
 public:
  // `generated`: prompts are left out.
  AttentionOp(const AttentionArgs& args, size_t workers, bool prompts_apart, bool generated)
      : args_(args),
        workers_(workers),
        impl_(ChooseImpl(AttentionImpls())),
        prompt_impl_(prompts_apart && !generated ? PromptAttentionImpl(args) : nullptr),
        generated_(generated) {}

  size_t Prepare(const StepState& step) override {
    const std::span<const SequenceSpan> sequences = step.batch->sequences;
    const bool apart = prompt_impl_ != nullptr || generated_;
    const size_t prompts = apart ? PromptsOf(*step.batch).size() : 0;
    SetPart(parts_[1], &impl_, sequences.subspan(prompts), step.shared);
    SetPart(parts_[0], prompt_impl_, sequences.first(generated_ ? 0 : prompts),
            step.shared.subspan(parts_[1].state_bytes));
    args_.sequences = sequences.data();
    args_.num_sequences = sequences.size();
    const bool split = parts_[0].args.split.portions + parts_[1].args.split.portions != 0;
    units_ = split ? workers_ : parts_[0].units + parts_[1].units;
    return units_;
  }
  // Each call takes its share of both, since their units differ in work.
  void Run(size_t begin, size_t end, std::byte* scratch) const noexcept override {
    for (const Part& part : parts_) {
      const size_t first = begin * part.units / units_, last = end * part.units / units_;
      if (first < last) part.impl->run(part.args, first, last, scratch);
    }
  }
  size_t MergeUnits() const override { return parts_[0].merge_units + parts_[1].merge_units; }
  void Merge(size_t begin, size_t end, std::byte* scratch) const noexcept override {
    const size_t all = MergeUnits();
    for (const Part& part : parts_) {
      const size_t first = begin * part.merge_units / all, last = end * part.merge_units / all;
      if (first < last) part.impl->run(MergeArgs(part), first, last, scratch);
    }
  }
  size_t SharedBytes() const override { return AttentionStateRoom(args_, workers_); }
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
    size_t merge_units = 0;
    size_t state_bytes = 0;
  };

  static AttentionArgs MergeArgs(const Part& part) {
    AttentionArgs args = part.args;
    args.split.merge = true;
    return args;
  }

  void SetPart(Part& part, const OpImpl<AttentionArgs>* impl,
               std::span<const SequenceSpan> sequences, std::span<std::byte> shared) const {
    part.args = args_;
    part.args.sequences = sequences.data();
    part.args.num_sequences = sequences.size();
    part.args.split = ChooseAttentionSplit(part.args, workers_, shared);
    part.impl = impl;
    part.units = AttentionUnits(part.args);
    const bool split = part.args.split.portions != 0;
    part.merge_units = split ? AttentionUnits(MergeArgs(part)) : 0;
    part.state_bytes = split ? AttentionStateBytes(part.args) : 0;
  }

  AttentionArgs args_;  // of all sequences
  size_t workers_;
  const OpImpl<AttentionArgs>& impl_;
  const OpImpl<AttentionArgs>* prompt_impl_;  // may be null
  bool generated_;
  Part parts_[2];
  size_t units_ = 0;
};

// Expanded attention of the rows of prompts; the others' are there already, in place.
class ExpandedAttentionOp final : public BoundOp {
 public:
  ExpandedAttentionOp(const ExpandedAttentionArgs& args, const OpImpl<ExpandedAttentionArgs>& impl)
      : args_(args), step_args_(args), impl_(impl) {}

  size_t Prepare(const StepState& step) override {
    args_.sequences = step.batch->sequences.data();
    args_.num_sequences = step.batch->sequences.size();
    const std::span<const SequenceSpan> prompts = PromptsOf(*step.batch);
    step_args_ = args_;
    step_args_.num_sequences = prompts.size();
    return ExpandedAttentionUnits(step_args_);
  }
  void Run(size_t begin, size_t end, std::byte* scratch) const noexcept override {
    impl_.run(step_args_, begin, end, scratch);
  }
  size_t ScratchBytes() const override { return ExpandedAttentionScratchBytes(args_); }
  bool PromptsDiffer() const override { return true; }
  const char* impl_name() const override { return impl_.name; }

 private:
  ExpandedAttentionArgs args_;       // of all sequences
  ExpandedAttentionArgs step_args_;  // of prompts
  const OpImpl<ExpandedAttentionArgs>& impl_;
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
  return std::make_unique<AttentionOp>(args, c_.workers, c_.prompts_apart, OfGenerated());
}

std::unique_ptr<BoundOp> Binder::ExpandedAttention() const {
  PELTON_CHECK(F32(In(3)) == F32(Out()), "generated rows stay where they are");
  PELTON_CHECK(c_.cache.IsLatent(), "what is expanded is latent");
  ExpandedAttentionArgs args{};
  args.q = F32(In(0));
  args.q_rope = F32(In(5));
  args.out = F32(Out());
  args.q_stride = Stride(In(0));
  args.q_rope_stride = Stride(In(5));
  args.out_stride = Stride(Out());
  args.heads = Attr("heads");
  args.key = c_.weights.Weights(In(1));
  args.value = c_.weights.Weights(In(2));
  args.key_bytes = c_.weights.GroupBytes(In(1));
  args.value_bytes = c_.weights.GroupBytes(In(2));
  args.cache = c_.cache;
  args.layer = Attr("layer");
  args.scale = Number("scale");
  args.workers = c_.workers;
  const MatmulRows rows = c_.prompts_apart ? MatmulRows::kPrompt : MatmulRows::kGenerated;
  args.key_impl = &ExpansionImpl(args.key, rows);
  args.value_impl = &ExpansionImpl(args.value, rows);
  const OpImpl<ExpandedAttentionArgs>* on_tiles =
      c_.prompts_apart ? ExpandedPromptAttentionImpl(args) : nullptr;
  return std::make_unique<ExpandedAttentionOp>(
      args, on_tiles != nullptr ? *on_tiles : ChooseImpl(ExpandedAttentionImpls()));
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
  return std::make_unique<AttentionOp>(args, c_.workers, c_.prompts_apart, false);
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
