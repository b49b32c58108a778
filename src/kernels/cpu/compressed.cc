// Units, scratch memory and tables of compression and of attention over compressed entries.
#include "kernels/ops/compressed.h"

#include "base/checked_math.h"
#include "kernels/cpu/compressed_scratch.h"
#include "kernels/cpu/isa_impls.h"

namespace pelton {
namespace cpu {
namespace {

// Lays arrays end to end, each on its own cache lines.
class Layout {
 public:
  size_t Take(size_t bytes) {
    const size_t offset = bytes_;
    bytes_ += RoundUp(bytes, 64);
    return offset;
  }
  size_t bytes() const { return bytes_; }

 private:
  size_t bytes_ = 0;
};

}  // namespace

CompressScratch CompressScratchOf(const CompressArgs& a) noexcept {
  Layout layout;
  CompressScratch out{};
  out.rows = layout.Take(2 * a.ratio * sizeof(void*));
  out.entry = layout.Take(a.dim * sizeof(float));
  out.bytes = layout.bytes();
  return out;
}

CompressedAttentionScratch CompressedAttentionScratchOf(const CompressedAttentionArgs& a) noexcept {
  Layout layout;
  CompressedAttentionScratch out{};
  const size_t row = a.cache.head_dim * sizeof(float);
  out.keys = layout.Take(kCompressedPartition * sizeof(void*));
  out.queries = layout.Take(kCompressedHeads * row);
  out.scores = layout.Take(kCompressedHeads * kCompressedPartition * sizeof(float));
  out.sums = layout.Take(kCompressedHeads * row);
  out.bytes = layout.bytes();
  return out;
}

}  // namespace cpu

size_t CompressScratchBytes(const CompressArgs& a) { return cpu::CompressScratchOf(a).bytes; }
size_t CompressedAttentionUnits(const CompressedAttentionArgs& a) {
  return a.tokens * DivUp(a.heads, kCompressedHeads);
}
size_t CompressedAttentionScratchBytes(const CompressedAttentionArgs& a) {
  return cpu::CompressedAttentionScratchOf(a).bytes;
}

PELTON_ISA_IMPLS(CompressWrite);
PELTON_ISA_IMPLS(Compress);
PELTON_ISA_IMPLS(CompressedAttention);

}  // namespace pelton
