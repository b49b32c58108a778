#pragma once

#include <algorithm>
#include <string>
#include <utility>

#include "base/check.h"
#include "graph/execute/bound_op.h"
#include "kernels/ops/elementwise.h"
#include "kernels/ops/experts.h"
#include "kernels/ops/matmul.h"

namespace pelton {

// An op whose kernel is the best of a table. Prepare calls update(args, step), which fills in what
// depends on the step and gives the number of units.
template <typename Args, typename Update>
class TableOp final : public BoundOp {
 public:
  TableOp(const OpImpl<Args>& impl, Args args, Update update, size_t (*scratch_bytes)(const Args&))
      : impl_(impl), args_(args), update_(std::move(update)), scratch_bytes_(scratch_bytes) {}

  size_t Prepare(const StepState& step) override { return update_(args_, step); }
  void Run(size_t begin, size_t end, std::byte* scratch) const noexcept override {
    impl_.run(args_, begin, end, scratch);
  }
  size_t ScratchBytes() const override {
    return scratch_bytes_ == nullptr ? 0 : scratch_bytes_(args_);
  }
  const char* impl_name() const override { return impl_.name; }

 private:
  const OpImpl<Args>& impl_;
  Args args_;
  Update update_;
  size_t (*scratch_bytes_)(const Args&);
};

template <typename Args, typename Update>
std::unique_ptr<BoundOp> MakeTableOp(std::span<const OpImpl<Args>> impls, Args args, Update update,
                                     size_t (*scratch_bytes)(const Args&) = nullptr) {
  return std::make_unique<TableOp<Args, Update>>(ChooseImpl(impls), args, std::move(update),
                                                 scratch_bytes);
}

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
  // A list of integers that an op of the graph makes.
  int32_t* I32(ValueId id) const {
    const MemoryPlan::Place& place = c_.memory.places[static_cast<size_t>(id)];
    PELTON_CHECK(place.in_arena, "an op made these integers");
    return reinterpret_cast<int32_t*>(c_.arena + place.offset);
  }
  // An f32 or an 8-bit destination; the other is null.
  float* F32If(ValueId id) const {
    return Present(id) && ValueOf(id).type == ElementType::kF32 ? F32(id) : nullptr;
  }
  std::byte* RowsIf(ValueId id) const {
    if (!Present(id) || ValueOf(id).type != ElementType::kQuantizedRows) return nullptr;
    return c_.arena + c_.memory.places[static_cast<size_t>(id)].offset;
  }
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
  std::unique_ptr<BoundOp> ExpandedAttention() const;
  std::unique_ptr<BoundOp> SelfAttention() const;
  std::unique_ptr<BoundOp> PlainAttentionPart() const;
  std::unique_ptr<BoundOp> IndexWrite() const;
  std::unique_ptr<BoundOp> IndexScores() const;
  std::unique_ptr<BoundOp> CompressWrite() const;
  std::unique_ptr<BoundOp> Compress() const;
  std::unique_ptr<BoundOp> CompressedAttention() const;
  std::unique_ptr<BoundOp> StreamOp() const;
  std::unique_ptr<BoundOp> Route() const;
  std::unique_ptr<BoundOp> WithExpertCache(std::unique_ptr<BoundOp> order) const;
  std::unique_ptr<BoundOp> ExpertRows() const;
  std::unique_ptr<BoundOp> BindExpertMatmul(bool gated, bool summed) const;
  std::unique_ptr<BoundOp> BindHeadMatmul() const;
  ExpertSumArgs SumOf(ValueId order, ValueId weights) const {
    return {.order = I32(order),
            .weights = F32(weights),
            .out = F32(Out()),
            .top = Cols(weights),
            .dim = Cols(Out()),
            .out_stride = Stride(Out())};
  }
  GateActivation Gate() const {
    const std::string& name = node_.Text("activation");
    return name == "silu"        ? GateActivation::kSilu
           : name == "gelu_tanh" ? GateActivation::kGeluTanh
                                 : GateActivation::kSwigluOai;
  }
  float GateLimit() const { return node_.attributes.contains("limit") ? Number("limit") : 0; }
  MatmulRows RowsKind() const {
    return c_.need_invariant ? MatmulRows::kGenerated : MatmulRows::kAny;
  }
  void CheckQueryParts() const {
    PELTON_CHECK(Present(In(2)) == c_.cache.IsLatent(),
                 "queries have the parts of the cache's keys");
  }
  // Whether another op computes the rows of prompts.
  bool OfGenerated() const { return AttrOr("generated", 0) != 0; }
  // The geometry of heads that are rows of the step.
  KvCacheView HeadsOf(ValueId kv) const {
    KvCacheView view{};
    view.dtype = KvDType::kF32;
    view.kv_heads = Attr("kv_heads");
    view.head_dim = Cols(kv) / view.kv_heads;
    return view;
  }

  size_t Attr(const char* name) const { return static_cast<size_t>(node_.Int(name)); }
  size_t AttrOr(const char* name, size_t absent) const {
    return node_.attributes.contains(name) ? Attr(name) : absent;
  }
  float Number(const char* name) const { return static_cast<float>(node_.Number(name)); }

  const BindContext& c_;
  const Node& node_;
};

}  // namespace pelton
