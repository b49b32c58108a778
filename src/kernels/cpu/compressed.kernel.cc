// Compiled once per ISA by pelton_isa_kernels(); include no std containers or algorithms here.
#include "kernels/ops/compressed.h"

#include "kernels/cpu/compressed_scratch.h"
#include "kernels/cpu/indexer_units.h"
#include "kernels/cpu/mul_add_block.h"
#include "kernels/cpu/row_output.h"

namespace pelton::cpu::KERNEL_ISA {
namespace {

constexpr size_t kLanes = F32::kLanes;
constexpr float kMinusInfinity = -__builtin_inff();

float ScalarExp(float x) { return FirstLane(Exp(Broadcast(x))); }

// What one token keeps beside its key.
template <typename Element>
Element* SideRow(const KvCacheView& cache, size_t layer, const SequenceSpan& sequence,
                 size_t position) {
  const auto block = static_cast<size_t>(sequence.block_table[position / cache.block_tokens]);
  return reinterpret_cast<Element*>(cache.Index(block, layer)) +
         position % cache.block_tokens * cache.index_dim;
}

template <typename Element>
void WriteRows(const CompressWriteArgs& a, size_t begin, size_t end) {
  for (size_t row = begin; row < end; ++row) {
    const auto slot = static_cast<size_t>(a.slots[row]);
    Element* to = reinterpret_cast<Element*>(a.cache.Index(slot / a.cache.block_tokens, a.layer)) +
                  slot % a.cache.block_tokens * a.cache.index_dim + a.first_lane;
    CopyRow(a.value + row * a.value_stride, a.cols, to);
    CopyRow(a.gate + row * a.gate_stride, a.cols, to + a.cols);
  }
}

template <typename Element>
class Compressor {
 public:
  Compressor(const CompressArgs& a, std::byte* scratch) : a_(a) {
    const CompressScratch layout = CompressScratchOf(a);
    rows_ = reinterpret_cast<Element**>(scratch + layout.rows);
    entry_ = reinterpret_cast<float*>(scratch + layout.entry);
  }

  void Run(size_t row) const {
    const RowPlace place = PlaceOfRow(a_.sequences, row);
    if ((place.position + 1) % a_.ratio != 0) return;
    const size_t first = place.position + 1 - a_.ratio;
    const size_t before = a_.cols != a_.dim && first > 0 ? a_.ratio : 0;
    for (size_t i = 0; i < before + a_.ratio; ++i) {
      rows_[i] =
          SideRow<Element>(a_.cache, a_.layer, *place.sequence, first - before + i) + a_.first_lane;
    }
    size_t d = 0;
    for (; d + kLanes <= a_.dim; d += kLanes) Store(Mixed(before, d, LoadAll{}), entry_ + d);
    if (d < a_.dim) {
      StorePartial(Mixed(before, d, LoadFirst{a_.dim - d}), entry_ + d, a_.dim - d);
    }
    Normalise();
    Rotate(a_.table + row * 2 * a_.half);
    CopyRow(entry_, a_.dim, rows_[before + a_.ratio - 1] + a_.cols - a_.dim);
  }

 private:
  // Calls visit(value, gate) for each token in order, for the lanes d, d + 1, ... of the entry.
  template <typename LoadLanes, typename Visit>
  void ForEachToken(size_t before, size_t d, const LoadLanes& load, const Visit& visit) const {
    const size_t own = a_.cols - a_.dim;
    for (size_t i = 0; i < before; ++i) {
      visit(rows_[i] + d, Add(load(rows_[i] + a_.cols + d), load(a_.bias + i * a_.cols + d)));
    }
    for (size_t i = 0; i < a_.ratio; ++i) {
      const Element* value = rows_[before + i] + own + d;
      visit(value, Add(load(value + a_.cols), load(a_.bias + i * a_.cols + own + d)));
    }
  }

  template <typename LoadLanes>
  F32 Mixed(size_t before, size_t d, const LoadLanes& load) const {
    F32 largest = Broadcast(kMinusInfinity);
    ForEachToken(before, d, load, [&](const Element*, F32 gate) { largest = Max(largest, gate); });
    F32 sum = Zero(), mixed = Zero();
    ForEachToken(before, d, load, [&](const Element* value, F32 gate) {
      const F32 weight = Exp(Sub(gate, largest));
      sum = Add(sum, weight);
      mixed = MulAdd(weight, load(value), mixed);
    });
    return Div(mixed, sum);
  }

  void Normalise() const {
    F32 squares = Zero();
    size_t d = 0;
    for (; d + kLanes <= a_.dim; d += kLanes) {
      squares = MulAdd(Load(entry_ + d), Load(entry_ + d), squares);
    }
    if (d < a_.dim) {
      const F32 rest = LoadPartial(entry_ + d, a_.dim - d);
      squares = MulAdd(rest, rest, squares);
    }
    const float mean = SumLanes(squares) / static_cast<float>(a_.dim);
    const float scale = 1.0f / __builtin_sqrtf(mean + a_.epsilon);
    for (d = 0; d < a_.dim; ++d) entry_[d] = entry_[d] * scale * a_.norm[d];
  }

  void Rotate(const float* table) const {
    float* lanes = entry_ + a_.dim - 2 * a_.half;
    for (size_t i = 0; i < a_.half; ++i) {
      const float x = lanes[2 * i], y = lanes[2 * i + 1];
      const float cos = table[i], sin = table[a_.half + i];
      lanes[2 * i] = x * cos - y * sin;
      lanes[2 * i + 1] = x * sin + y * cos;
    }
  }

  const CompressArgs& a_;
  Element** rows_;  // [before + ratio], at first_lane
  float* entry_;    // [dim]
};

// Up to kCompressedHeads heads of a row, a partition of keys after the other.
template <typename Element>
class Attender {
 public:
  Attender(const CompressedAttentionArgs& a, std::byte* scratch) : a_(a), dim_(a.cache.head_dim) {
    const CompressedAttentionScratch layout = CompressedAttentionScratchOf(a);
    keys_ = reinterpret_cast<const Element**>(scratch + layout.keys);
    queries_ = reinterpret_cast<float*>(scratch + layout.queries);
    scores_ = reinterpret_cast<float*>(scratch + layout.scores);
    sums_ = reinterpret_cast<float*>(scratch + layout.sums);
  }

  void Run(size_t unit) {
    const size_t groups = (a_.heads + kCompressedHeads - 1) / kCompressedHeads;
    const size_t row = unit / groups, head = unit % groups * kCompressedHeads;
    heads_ = a_.heads - head < kCompressedHeads ? a_.heads - head : kCompressedHeads;
    Begin(row, head);
    const RowPlace place = PlaceOfRow(a_.sequences, row);
    for (size_t p = place.position + 1 > a_.window ? place.position + 1 - a_.window : 0;
         p <= place.position; ++p) {
      const size_t block_tokens = a_.cache.block_tokens;
      const auto block = static_cast<size_t>(place.sequence->block_table[p / block_tokens]);
      See(reinterpret_cast<const Element*>(a_.cache.K(block, a_.layer, 0)) +
          p % block_tokens * dim_);
    }
    const size_t entries = a_.ratio == 0 ? 0 : (place.position + 1) / a_.ratio;
    const size_t count = a_.entries == nullptr || entries < a_.top ? entries : a_.top;
    for (size_t i = 0; i < count; ++i) {
      const size_t entry =
          a_.entries == nullptr ? i : static_cast<size_t>(a_.entries[row * a_.top + i]);
      See(SideRow<Element>(a_.cache, a_.layer, *place.sequence, entry * a_.ratio + a_.ratio - 1) +
          a_.entry_lane);
    }
    AddPartition();
    End(row, head);
  }

 private:
  void Begin(size_t row, size_t head) {
    count_ = 0;
    const F32 scale = Broadcast(a_.scale);
    const float* q = a_.q + row * a_.q_stride + head * dim_;
    for (size_t d = 0; d < heads_ * dim_; d += kLanes) {
      Store(Mul(Load(q + d), scale), queries_ + d);
      Store(Zero(), sums_ + d);
    }
    for (size_t h = 0; h < heads_; ++h) {
      largest_[h] = a_.sinks[head + h];
      totals_[h] = 1;
    }
  }

  void See(const Element* key) {
    keys_[count_++] = key;
    if (count_ == kCompressedPartition) AddPartition();
  }

  void AddPartition() {
    if (count_ == 0) return;
    // Whole vectors of keys are multiplied; what the last one repeats is not read.
    for (size_t i = count_; i % kLanes != 0; ++i) keys_[i] = keys_[count_ - 1];
    for (size_t i = 0; i < count_; i += kLanes) {
      DotKeysOfRows(heads_, queries_, keys_ + i, keys_ + i, dim_ * sizeof(Element), dim_,
                    scores_ + i, kCompressedPartition);
    }
    for (size_t h = 0; h < heads_; ++h) Weigh(h, scores_ + h * kCompressedPartition);
    MulAddRows(heads_, dim_ / kLanes, scores_, kCompressedPartition,
               ScatteredRows<Element>{keys_, keys_, dim_ * sizeof(Element), 0}, count_, true, sums_,
               dim_);
    count_ = 0;
  }

  // Turns a head's scores into weights and scales what was summed before.
  void Weigh(size_t h, float* scores) {
    float largest = largest_[h];
    for (size_t i = 0; i < count_; ++i) largest = scores[i] > largest ? scores[i] : largest;
    const float factor = ScalarExp(largest_[h] - largest);
    const F32 shift = Broadcast(largest);
    for (size_t i = 0; i < count_; i += kLanes) {
      Store(Exp(Sub(Load(scores + i), shift)), scores + i);
    }
    float total = totals_[h] * factor;
    for (size_t i = 0; i < count_; ++i) total += scores[i];
    totals_[h] = total;
    largest_[h] = largest;
    float* sums = sums_ + h * dim_;
    for (size_t d = 0; d < dim_; d += kLanes) {
      Store(Mul(Load(sums + d), Broadcast(factor)), sums + d);
    }
  }

  void End(size_t row, size_t head) const {
    float* out = a_.out + row * a_.out_stride + head * dim_;
    for (size_t h = 0; h < heads_; ++h) {
      const F32 factor = Broadcast(1.0f / totals_[h]);
      for (size_t d = h * dim_; d < (h + 1) * dim_; d += kLanes) {
        Store(Mul(Load(sums_ + d), factor), out + d);
      }
    }
  }

  const CompressedAttentionArgs& a_;
  const size_t dim_;
  const Element** keys_;  // [kCompressedPartition]
  float* queries_;        // [heads_][dim_]
  float* scores_;         // [heads_][kCompressedPartition]
  float* sums_;           // [heads_][dim_]
  size_t heads_ = 0;
  size_t count_ = 0;  // keys of the partition so far
  float largest_[kCompressedHeads];
  float totals_[kCompressedHeads];
};

}  // namespace

void CompressWrite(const CompressWriteArgs& a, size_t begin, size_t end, std::byte*) noexcept {
  switch (a.cache.dtype) {
    case KvDType::kF32:
      return WriteRows<float>(a, begin, end);
    case KvDType::kF16:
      return WriteRows<F16>(a, begin, end);
    case KvDType::kQ8:
    case KvDType::kFp8:
      return;  // such caches have no entries
  }
}

void Compress(const CompressArgs& a, size_t begin, size_t end, std::byte* scratch) noexcept {
  const auto run = [&](const auto& compressor) {
    for (size_t row = begin; row < end; ++row) compressor.Run(row);
  };
  switch (a.cache.dtype) {
    case KvDType::kF32:
      return run(Compressor<float>(a, scratch));
    case KvDType::kF16:
      return run(Compressor<F16>(a, scratch));
    case KvDType::kQ8:
    case KvDType::kFp8:
      return;  // such caches have no entries
  }
}

void CompressedAttention(const CompressedAttentionArgs& a, size_t begin, size_t end,
                         std::byte* scratch) noexcept {
  const auto run = [&](auto attender) {
    for (size_t unit = begin; unit < end; ++unit) attender.Run(unit);
  };
  switch (a.cache.dtype) {
    case KvDType::kF32:
      return run(Attender<float>(a, scratch));
    case KvDType::kF16:
      return run(Attender<F16>(a, scratch));
    case KvDType::kQ8:
    case KvDType::kFp8:
      return;  // such caches have no entries
  }
}

}  // namespace pelton::cpu::KERNEL_ISA
