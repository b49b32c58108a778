// Attention over compressed entries, and residuals of several streams.
#include "graph/execute/binder.h"
#include "kernels/ops/compressed.h"
#include "kernels/ops/streams.h"

namespace pelton {
namespace {

template <typename Args>
void TakeSequences(Args& args, const StepState& step) {
  args.sequences = step.batch->sequences.data();
  args.num_sequences = step.batch->sequences.size();
  args.tokens = step.sizes.tokens;
}

}  // namespace

std::unique_ptr<BoundOp> Binder::CompressWrite() const {
  CompressWriteArgs args{};
  args.value = F32(In(0));
  args.gate = F32(In(1));
  args.value_stride = Stride(In(0));
  args.gate_stride = Stride(In(1));
  args.cols = Cols(In(0));
  args.cache = c_.cache;
  args.layer = Attr("layer");
  args.first_lane = Attr("begin");
  PELTON_CHECK(args.first_lane + 2 * args.cols <= c_.cache.index_dim, "the cache has these lanes");
  return MakeTableOp(CompressWriteImpls(), args, [](CompressWriteArgs& a, const StepState& step) {
    a.slots = step.batch->slots.data();
    return a.tokens = step.sizes.tokens;
  });
}

std::unique_ptr<BoundOp> Binder::Compress() const {
  CompressArgs args{};
  args.bias = F32(In(1));
  args.norm = F32(In(2));
  args.table = F32(In(3));
  args.ratio = Attr("ratio");
  args.dim = Cols(In(2));
  args.cols = Cols(In(1)) / args.ratio;
  args.half = Cols(In(3)) / 2;
  args.epsilon = Number("epsilon");
  args.cache = c_.cache;
  args.layer = Attr("layer");
  args.first_lane = Attr("begin");
  PELTON_CHECK(args.first_lane + 2 * args.cols <= c_.cache.index_dim, "the cache has these lanes");
  return MakeTableOp(
      CompressImpls(), args,
      [](CompressArgs& a, const StepState& step) {
        TakeSequences(a, step);
        return a.tokens;
      },
      CompressScratchBytes);
}

std::unique_ptr<BoundOp> Binder::CompressedAttention() const {
  PELTON_CHECK(c_.cache.IsLatent() && c_.cache.value_dim == c_.cache.head_dim &&
                   Cols(In(0)) == Attr("heads") * c_.cache.head_dim,
               "keys are values, of the size of queries");
  CompressedAttentionArgs args{};
  args.q = F32(In(0));
  args.out = F32(Out());
  args.q_stride = Stride(In(0));
  args.out_stride = Stride(Out());
  args.heads = Attr("heads");
  args.sinks = F32(In(2));
  args.scale = Number("scale");
  args.window = Attr("window");
  args.ratio = Attr("ratio");
  args.entry_lane = Attr("begin");
  if (Present(In(4))) {
    args.entries = I32(In(4));
    args.top = Cols(In(4));
  }
  args.cache = c_.cache;
  args.layer = Attr("layer");
  PELTON_CHECK(args.ratio == 0 || args.entry_lane + c_.cache.head_dim <= c_.cache.index_dim,
               "the cache has these lanes");
  return MakeTableOp(
      CompressedAttentionImpls(), args,
      [](CompressedAttentionArgs& a, const StepState& step) {
        TakeSequences(a, step);
        return CompressedAttentionUnits(a);
      },
      CompressedAttentionScratchBytes);
}

std::unique_ptr<BoundOp> Binder::StreamOp() const {
  const auto rows = RowsOf(In(0));
  const auto update = [rows](auto& a, const StepState& step) { return a.rows = rows(step); };
  const size_t streams = Attr("streams");
  if (node_.kind == OpKind::kStreamSpread) {
    StreamSpreadArgs args{};
    args.x = F32(In(0));
    args.out = F32(Out());
    args.x_stride = Stride(In(0));
    args.streams = streams;
    args.dim = Cols(In(0));
    return MakeTableOp(StreamSpreadImpls(), args, update);
  }
  if (node_.kind == OpKind::kStreamWeights) {
    StreamWeightsArgs args{};
    args.mixes = F32(In(0));
    args.scale = F32(In(1));
    args.base = F32(In(2));
    args.out = F32(Out());
    args.mixes_stride = Stride(In(0));
    args.streams = streams;
    args.cols = Cols(In(0));
    args.rounds = Attr("rounds");
    args.epsilon = Number("epsilon");
    return MakeTableOp(StreamWeightsImpls(), args, update);
  }
  if (node_.kind == OpKind::kStreamMerge) {
    StreamMergeArgs args{};
    args.x = F32(In(0));
    args.weights = F32(In(1));
    args.out = F32(Out());
    args.x_stride = Stride(In(0));
    args.weights_stride = Stride(In(1));
    args.streams = streams;
    args.dim = Cols(Out());
    return MakeTableOp(StreamMergeImpls(), args, update);
  }
  StreamMixArgs args{};
  args.x = F32(In(0));
  args.y = F32(In(1));
  args.weights = F32(In(2));
  args.out = F32(Out());
  args.x_stride = Stride(In(0));
  args.y_stride = Stride(In(1));
  args.weights_stride = Stride(In(2));
  args.out_stride = Stride(Out());
  args.streams = streams;
  args.dim = Cols(In(1));
  return MakeTableOp(StreamMixImpls(), args, update);
}

}  // namespace pelton
