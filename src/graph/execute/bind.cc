#include "graph/execute/bind_indexer.h"
#include "graph/execute/binder.h"
#include "kernels/ops/embedding.h"
#include "kernels/ops/layer_norm.h"
#include "kernels/ops/rms_norm.h"
#include "kernels/ops/rope.h"
#include "kernels/ops/rotate.h"

namespace pelton {
namespace {

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

}  // namespace

std::unique_ptr<BoundOp> Binder::Embedding() const {
  const StoredTensor& table = ValueOf(In(1)).constant.tensors[0];
  EmbeddingArgs args{.table = table.data.data(),
                     .dtype = table.dtype,
                     .row_bytes = table.data.size() / static_cast<size_t>(table.rows),
                     .out = F32(Out()),
                     .dim = Cols(Out()),
                     .out_stride = Stride(Out()),
                     .scales = table.scales};
  return MakeTableOp(EmbeddingImpls(), args,
                     [ids = StepInputOf(ValueOf(In(0)))](EmbeddingArgs& a, const StepState& step) {
                       a.ids = Ints(ids, *step.batch);
                       return a.tokens = step.sizes.tokens;
                     });
}

std::unique_ptr<BoundOp> Binder::Norm(ValueId x, ValueId add, ValueId weight, ValueId sum,
                                      ValueId out, size_t groups) const {
  RmsNormArgs args{.x = F32(x),
                   .add = F32(add),
                   .weight = F32(weight),
                   .sum = F32(sum),
                   .out = F32If(out),
                   .quantized = RowsIf(out),
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
                  .dim = Cols(In(0)),
                  .a_stride = Stride(In(0)),
                  .b_stride = Stride(In(1)),
                  .out_stride = Stride(Out()),
                  .limit = GateLimit()};
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

std::unique_ptr<BoundOp> Binder::Rope() const {
  RopeArgs args = RopeOf(F32(In(0)), F32(Out()), F32(In(1)), Stride(In(0)), Stride(Out()),
                         Attr("heads"), Cols(In(0)), Cols(In(1)), Attr("interleaved") != 0);
  args.first_lane = AttrOr("first", 0);
  args.back = AttrOr("back", 0) != 0;
  PELTON_CHECK(args.first_lane + 2 * args.half <= args.head_dim,
               "the lanes that turn are a head's");
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
      return Binary(Gate() == GateActivation::kSilu       ? BinaryKind::kSiluMul
                    : Gate() == GateActivation::kGeluTanh ? BinaryKind::kGeluTanhMul
                                                          : BinaryKind::kSwigluOaiMul);
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
      QuantizeRowsArgs args{
          .x = F32(In(0)), .out = RowsIf(Out()), .dim = Cols(In(0)), .x_stride = Stride(In(0))};
      return MakeTableOp(QuantizeRowsImpls(), args,
                         [rows = RowsOf(In(0))](QuantizeRowsArgs& a, const StepState& step) {
                           return a.rows = rows(step);
                         });
    }
    case OpKind::kRotate: {
      RotateArgs args{.x = F32(In(0)),
                      .out = F32If(Out()),
                      .quantized = RowsIf(Out()),
                      .dim = Cols(In(0)),
                      .x_stride = Stride(In(0)),
                      .out_stride = Stride(Out())};
      return MakeTableOp(
          RotateImpls(), args,
          [rows = RowsOf(In(0))](RotateArgs& a, const StepState& step) {
            return a.rows = rows(step);
          },
          RotateScratchBytes);
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
                         .magnitude = Number("magnitude"),
                         .multiple = static_cast<int32_t>(AttrOr("multiple", 1))};
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
    case OpKind::kSparseAttention:
      return Attention();
    case OpKind::kExpandedAttention:
      return ExpandedAttention();
    case OpKind::kIndexWrite:
      return IndexWrite();
    case OpKind::kIndexScores:
      return IndexScores();
    case OpKind::kTopPositions: {
      TopPositionsArgs args{};
      args.scores = F32(In(0));
      args.positions = I32(Out());
      args.top = Attr("top");
      args.ratio = AttrOr("ratio", 1);
      return BindTopPositions(args);
    }
    case OpKind::kKeepPositions: {
      PELTON_CHECK(F32(In(0)) == F32(Out()), "scores are kept in place");
      KeepPositionsArgs args{};
      args.scores = F32(Out());
      args.heads = Attr("heads");
      args.positions = I32(In(1));
      args.top = Cols(In(1));
      return BindKeepPositions(args);
    }
    case OpKind::kSelfAttention:
      return SelfAttention();
    case OpKind::kCompressWrite:
      return CompressWrite();
    case OpKind::kCompress:
      return Compress();
    case OpKind::kCompressedAttention:
      return CompressedAttention();
    case OpKind::kStreamSpread:
    case OpKind::kStreamWeights:
    case OpKind::kStreamMerge:
    case OpKind::kStreamMix:
      return StreamOp();
    case OpKind::kRoute:
      return Route();
    case OpKind::kExpertOrder: {
      ExpertOrderArgs args{.ids = I32(In(0)),
                           .order = I32(Out(0)),
                           .starts = I32(Out(1)),
                           .experts = Attr("experts")};
      return WithExpertCache(MakeTableOp(
          ExpertOrderImpls(), args,
          [pairs = ValueOf(Out(0)).shape.cols()](ExpertOrderArgs& a, const StepState& step) {
            a.pairs = step.sizes.Of(pairs);
            return size_t{1};
          }));
    }
    case OpKind::kExpertRows:
      return ExpertRows();
    case OpKind::kExpertMatmul:
      return BindExpertMatmul(false, false);
    case OpKind::kGatedExpertMatmul:
      return BindExpertMatmul(true, false);
    case OpKind::kExpertMatmulSum:
      return BindExpertMatmul(false, true);
    case OpKind::kExpertSum: {
      ExpertSumArgs args = SumOf(In(1), In(2));
      args.rows = F32(In(0));
      args.rows_stride = Stride(In(0));
      return MakeTableOp(ExpertSumImpls(), args,
                         [rows = RowsOf(In(0))](ExpertSumArgs& a, const StepState& step) {
                           a.pairs = rows(step);
                           a.tokens = step.sizes.tokens;
                           return DivUp(a.dim, 2 * kPanelRows);
                         });
    }
    case OpKind::kHeadMatmul:
      return BindHeadMatmul();
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

std::unique_ptr<BoundOp> BindNode(const BindContext& context, const Node& node) {
  return Binder(context, node).Bind();
}

}  // namespace pelton
