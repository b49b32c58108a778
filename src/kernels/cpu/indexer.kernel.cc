// Compiled once per ISA by pelton_isa_kernels(); include no std containers or algorithms here.
#include "kernels/ops/indexer.h"

#include "kernels/cpu/indexer_units.h"
#include "kernels/cpu/mul_add_block.h"
#include "kernels/cpu/row_output.h"

namespace pelton::cpu::KERNEL_ISA {
namespace {

constexpr size_t kLanes = F32::kLanes;

template <typename Element>
void WriteKeys(const IndexWriteArgs& a, size_t begin, size_t end) {
  const size_t dim = a.cache.index_dim;
  for (size_t row = begin; row < end; ++row) {
    const auto slot = static_cast<size_t>(a.slots[row]);
    auto* keys = reinterpret_cast<Element*>(a.cache.Index(slot / a.cache.block_tokens, a.layer));
    CopyRow(a.k + row * a.k_stride, dim, keys + slot % a.cache.block_tokens * dim);
  }
}

// Scores of one row, kIndexBlock keys at a time: the keys are transposed, a lane each, and
// multiplied by all heads.
template <typename Element>
class Scorer {
 public:
  Scorer(const IndexScoresArgs& a, std::byte* scratch) : a_(a) {
    const IndexScratch layout = IndexScratchOf(a);
    rows_ = reinterpret_cast<const Element**>(scratch + layout.rows);
    key_block_ = reinterpret_cast<float*>(scratch + layout.key_block);
    products_ = reinterpret_cast<float*>(scratch + layout.products);
  }

  void Run(const IndexUnit& unit) const {
    for (size_t key = unit.begin; key < unit.end; key += kIndexBlock) {
      const size_t left = unit.end - key;
      ScoreKeys(unit, key, left < kIndexBlock ? left : kIndexBlock);
    }
  }

 private:
  void FindRows(const SequenceSpan& sequence, size_t first, size_t count) const {
    const size_t block_tokens = a_.cache.block_tokens;
    for (size_t i = 0; i < count; ++i) {
      const size_t position = (first + i) * a_.ratio + a_.ratio - 1;
      const auto block = static_cast<size_t>(sequence.block_table[position / block_tokens]);
      rows_[i] = reinterpret_cast<const Element*>(a_.cache.Index(block, a_.layer)) +
                 position % block_tokens * a_.cache.index_dim + a_.first_lane;
    }
    // Whole vectors of keys are transposed; what the last one repeats is not stored.
    for (size_t i = count; i % kLanes != 0; ++i) rows_[i] = rows_[count - 1];
  }

  void ScoreKeys(const IndexUnit& unit, size_t first, size_t count) const {
    const size_t dim = a_.Dim(), vectors = (count + kLanes - 1) / kLanes;
    FindRows(*unit.sequence, first, count);
    for (size_t v = 0; v < vectors; ++v) {
      TransposeKeys(rows_ + v * kLanes, dim, kIndexBlock, key_block_ + v * kLanes);
    }
    const float* q = a_.q + unit.row * a_.q_stride;
    for (size_t h = 0; h < a_.heads; h += kBlockRows) {
      const size_t heads = a_.heads - h < kBlockRows ? a_.heads - h : kBlockRows;
      MulAddRows(heads, vectors, q + h * dim, dim, DenseRows{key_block_, kIndexBlock}, dim, false,
                 products_ + h * kIndexBlock, kIndexBlock);
    }
    const float* weights = a_.weights + unit.row * a_.weights_stride;
    float* scores = a_.scores + unit.row * a_.scores_stride + first;
    for (size_t i = 0; i < count; i += kLanes) {
      F32 sum = Zero();
      for (size_t h = 0; h < a_.heads; ++h) {
        const F32 product = Max(Load(products_ + h * kIndexBlock + i), Zero());
        sum = MulAdd(Broadcast(weights[h]), product, sum);
      }
      if (i + kLanes <= count) {
        Store(sum, scores + i);
      } else {
        StorePartial(sum, scores + i, count - i);
      }
    }
  }

  const IndexScoresArgs& a_;
  const Element** rows_;  // [kIndexBlock] keys
  float* key_block_;      // [index_dim][kIndexBlock]
  float* products_;       // [heads][kIndexBlock]
};

template <typename Element>
void Scores(const IndexScoresArgs& a, size_t begin, size_t end, std::byte* scratch) {
  const Scorer<Element> scorer(a, scratch);
  for (size_t unit = begin; unit < end; ++unit) scorer.Run(IndexUnitOf(a, unit));
}

}  // namespace

void IndexWrite(const IndexWriteArgs& a, size_t begin, size_t end, std::byte*) noexcept {
  switch (a.cache.IndexDType()) {
    case KvDType::kF32:
      return WriteKeys<float>(a, begin, end);
    case KvDType::kF16:
      return WriteKeys<F16>(a, begin, end);
    case KvDType::kQ8:
    case KvDType::kFp8:
      return;  // no index is of these
  }
}

void IndexScores(const IndexScoresArgs& a, size_t begin, size_t end, std::byte* scratch) noexcept {
  switch (a.cache.IndexDType()) {
    case KvDType::kF32:
      return Scores<float>(a, begin, end, scratch);
    case KvDType::kF16:
      return Scores<F16>(a, begin, end, scratch);
    case KvDType::kQ8:
    case KvDType::kFp8:
      return;  // no index is of these
  }
}

}  // namespace pelton::cpu::KERNEL_ISA
