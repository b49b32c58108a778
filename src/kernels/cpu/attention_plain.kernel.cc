// Compiled once per ISA by pelton_isa_kernels(); include no std containers or algorithms here.
#include "kernels/cpu/fp8_row.h"
#include "kernels/cpu/row_output.h"
#include "kernels/ops/attention.h"

namespace pelton::cpu::KERNEL_ISA {
namespace {

constexpr size_t kLanes = F32::kLanes;

// The (row, head) pair of a unit.
struct PlainUnit {
  template <typename Args>
  PlainUnit(const Args& a, size_t unit) : row(unit / a.heads), head(unit % a.heads) {
    sequence = a.sequences;
    while (row >= static_cast<size_t>(sequence->first_row) + static_cast<size_t>(sequence->count)) {
      ++sequence;
    }
    context = static_cast<size_t>(sequence->context);
    const size_t new_row = row - static_cast<size_t>(sequence->first_row);
    position = context - static_cast<size_t>(sequence->count) + new_row;
  }
  size_t row;
  size_t head;
  size_t context;
  size_t position;
  const SequenceSpan* sequence;
};

// Calls visit(j, count, rows, stride) for the pieces of [0, context) that lie in one cache block,
// or once where keys and values are the step's rows: `rows` holds the keys (or values) of positions
// j .. j + count - 1.
template <typename Element, typename Args, typename Visit>
void ForEachPiece(const Args& a, const PlainUnit& unit, size_t kv_head, bool values,
                  const Visit& visit) {
  const KvCacheView& cache = a.cache;
  if (a.rows.k != nullptr || a.rows.v != nullptr) {
    const size_t stride = values ? a.rows.v_stride : a.rows.k_stride;
    const float* rows = (values ? a.rows.v : a.rows.k) +
                        static_cast<size_t>(unit.sequence->first_row) * stride +
                        kv_head * cache.head_dim;
    visit(size_t{0}, unit.context, reinterpret_cast<const Element*>(rows), stride);
    return;
  }
  for (size_t j = 0; j < unit.context; j += cache.block_tokens) {
    const auto block = static_cast<size_t>(unit.sequence->block_table[j / cache.block_tokens]);
    const std::byte* rows =
        values ? cache.V(block, a.layer, kv_head) : cache.K(block, a.layer, kv_head);
    const size_t left = unit.context - j;
    visit(j, left < cache.block_tokens ? left : cache.block_tokens,
          reinterpret_cast<const Element*>(rows) + kRowHeader<Element>,
          cache.RowBytes() / sizeof(Element));
  }
}

// A row of the cache as Element: where it lies, or decoded.
template <typename Element>
class RowReader {
 public:
  explicit RowReader(const KvCacheView&) {}
  const Element* Read(const Element* stored) const { return stored; }
};
template <>
class RowReader<Bf16> {
 public:
  explicit RowReader(const KvCacheView& cache) : cache_(cache) {}
  const Bf16* Read(const Bf16* stored) {
    DecodeFp8Row(cache_, reinterpret_cast<const std::byte*>(stored), row_);
    return row_;
  }

 private:
  const KvCacheView& cache_;
  alignas(64) Bf16 row_[kFp8MaxDim];
};

template <typename Element>
float Dot(const float* q, const Element* k, size_t dim) {
  F32 sum = Zero();
  size_t d = 0;
  for (; d + kLanes <= dim; d += kLanes) sum = MulAdd(Load(q + d), Load(k + d), sum);
  if (d < dim) sum = MulAdd(LoadPartial(q + d, dim - d), LoadPartial(k + d, dim - d), sum);
  return SumLanes(sum);
}

template <typename Element>
void Scores(const KvScoresArgs& a, size_t begin, size_t end) {
  const size_t dim = a.cache.ValueDim(), rest = a.cache.head_dim - dim;
  const size_t group = a.heads / a.cache.kv_heads;
  RowReader<Element> reader(a.cache);
  for (size_t u = begin; u < end; ++u) {
    const PlainUnit unit(a, u);
    const float* q = a.q + unit.row * a.q_stride + unit.head * dim;
    const float* q_rope =
        rest == 0 ? nullptr : a.q_rope + unit.row * a.q_rope_stride + unit.head * rest;
    float* scores = a.scores + u * a.scores_stride;
    ForEachPiece<Element>(a, unit, unit.head / group, false,
                          [&](size_t j, size_t count, const Element* keys, size_t stride) {
                            for (size_t i = 0; i < count; ++i) {
                              const Element* key = reader.Read(keys + i * stride);
                              float score = Dot(q, key, dim);
                              if (rest != 0) score += Dot(q_rope, key + dim, rest);
                              scores[j + i] = score * RowScale(key);
                            }
                          });
  }
}

// out += weight * v.
template <typename Element>
void AddScaled(float weight, const Element* v, size_t dim, float* out) {
  const F32 factor = Broadcast(weight);
  size_t d = 0;
  for (; d + kLanes <= dim; d += kLanes) {
    Store(MulAdd(factor, Load(v + d), Load(out + d)), out + d);
  }
  if (d < dim) {
    const size_t rest = dim - d;
    StorePartial(MulAdd(factor, LoadPartial(v + d, rest), LoadPartial(out + d, rest)), out + d,
                 rest);
  }
}

template <typename Element>
void Mix(const KvMixArgs& a, size_t begin, size_t end) {
  const size_t dim = a.cache.ValueDim(), group = a.heads / a.cache.kv_heads;
  RowReader<Element> reader(a.cache);
  for (size_t u = begin; u < end; ++u) {
    const PlainUnit unit(a, u);
    const float* weights = a.weights + u * a.weights_stride;
    float* out = a.out + unit.row * a.out_stride + unit.head * dim;
    for (size_t d = 0; d < dim; ++d) out[d] = 0;
    ForEachPiece<Element>(a, unit, unit.head / group, true,
                          [&](size_t j, size_t count, const Element* values, size_t stride) {
                            for (size_t i = 0; i < count; ++i) {
                              const Element* value = reader.Read(values + i * stride);
                              AddScaled(weights[j + i] * RowScale(value), value, dim, out);
                            }
                          });
  }
}

}  // namespace

void KvScores(const KvScoresArgs& a, size_t begin, size_t end, std::byte*) noexcept {
  switch (a.cache.dtype) {
    case KvDType::kF32:
      return Scores<float>(a, begin, end);
    case KvDType::kF16:
      return Scores<F16>(a, begin, end);
    case KvDType::kQ8:
      return Scores<Code8>(a, begin, end);
    case KvDType::kFp8:
      return Scores<Bf16>(a, begin, end);
  }
}

void KvMix(const KvMixArgs& a, size_t begin, size_t end, std::byte*) noexcept {
  switch (a.cache.dtype) {
    case KvDType::kF32:
      return Mix<float>(a, begin, end);
    case KvDType::kF16:
      return Mix<F16>(a, begin, end);
    case KvDType::kQ8:
      return Mix<Code8>(a, begin, end);
    case KvDType::kFp8:
      return Mix<Bf16>(a, begin, end);
  }
}

void MaskedSoftmax(const MaskedSoftmaxArgs& a, size_t begin, size_t end, std::byte*) noexcept {
  for (size_t u = begin; u < end; ++u) {
    const PlainUnit unit(a, u);
    const auto window = static_cast<size_t>(a.window);
    const size_t last = a.causal ? unit.position + 1 : unit.context;
    const size_t first = window == 0 || window >= last ? 0 : last - window;
    float* row = a.scores + u * a.scores_stride;
    for (size_t j = 0; j < first; ++j) row[j] = 0;
    for (size_t j = last; j < unit.context; ++j) row[j] = 0;
    float* visible = row + first;
    const size_t count = last - first;

    F32 largest = Broadcast(visible[0]);
    size_t i = 0;
    for (; i + kLanes <= count; i += kLanes) largest = Max(largest, Load(visible + i));
    float maximum = MaxLanes(largest);
    for (; i < count; ++i) maximum = visible[i] > maximum ? visible[i] : maximum;
    const float sink = a.sinks == nullptr ? maximum : a.sinks[unit.head];
    if (sink > maximum) maximum = sink;

    const F32 subtrahend = Broadcast(maximum);
    const auto exp_at = [&](size_t d, auto load) {
      return Exp(Sub(load(visible + d), subtrahend));
    };
    WriteRow(exp_at, count, visible, QuantizedRows{nullptr, count}, 0);
    F32 sum = Zero();
    for (i = 0; i + kLanes <= count; i += kLanes) sum = Add(sum, Load(visible + i));
    if (i < count) sum = Add(sum, LoadPartial(visible + i, count - i));
    float total = SumLanes(sum);
    if (a.sinks != nullptr) total += FirstLane(Exp(Sub(Broadcast(sink), subtrahend)));
    const F32 factor = Broadcast(1.0f / total);
    WriteRow([&](size_t d, auto load) { return Mul(load(visible + d), factor); }, count, visible,
             QuantizedRows{nullptr, count}, 0);
  }
}

}  // namespace pelton::cpu::KERNEL_ISA
