// Compiled once per ISA by pelton_isa_kernels(); include no std containers or algorithms here.
#include "kernels/ops/rope.h"

#include "kernels/cpu/fp8_row.h"
#include "kernels/cpu/row_output.h"

namespace pelton::cpu::KERNEL_ISA {
namespace {

// (x[i], x[i + half]) for the lanes i, i + 1, ... that `load` and `store` move.
template <typename Element, typename LoadLanes, typename StoreLanes>
void RotateHalves(const float* x, const float* table, size_t half, size_t i, Element* out,
                  const LoadLanes& load, const StoreLanes& store) {
  const F32 a = load(x + i);
  const F32 b = load(x + half + i);
  const F32 cos = load(table + i);
  const F32 sin = load(table + half + i);
  store(NegMulAdd(b, sin, Mul(a, cos)), out + i);
  store(MulAdd(a, sin, Mul(b, cos)), out + half + i);
}

// Rotates one head of head_dim lanes. out may be x.
template <typename Element>
void RotateHead(const RopeArgs& a, const float* x, const float* table, Element* out) {
  constexpr size_t kLanes = F32::kLanes;
  const size_t half = a.half;
  size_t i = 0;
  if (a.first_lane > 0) {
    CopyRow(x, a.first_lane, out);
    x += a.first_lane;
    out += a.first_lane;
  }
  if (a.interleaved) {
    // Both lanes of a pair: x * cos + swapped * (-sin, sin), or back, * (sin, -sin).
    const F32 sign = Broadcast(a.back ? -1.0f : 1.0f);
    for (; i + kLanes <= 2 * half; i += kLanes) {
      const F32 v = Load(x + i);
      const F32 cos = LoadTwice(table + i / 2);
      const F32 sin = NegateEven(LoadTwice(table + half + i / 2));
      Store(MulAdd(SwapPairs(v), Mul(sin, sign), Mul(v, cos)), out + i);
    }
    if (i < 2 * half) {
      const size_t rest = 2 * half - i;
      const F32 v = LoadPartial(x + i, rest);
      const F32 cos = LoadTwicePartial(table + i / 2, rest / 2);
      const F32 sin = NegateEven(LoadTwicePartial(table + half + i / 2, rest / 2));
      StorePartial(MulAdd(SwapPairs(v), Mul(sin, sign), Mul(v, cos)), out + i, rest);
    }
  } else {
    for (; i + kLanes <= half; i += kLanes) {
      RotateHalves(x, table, half, i, out, LoadAll{}, [](F32 v, Element* p) { Store(v, p); });
    }
    if (i < half) {
      const size_t rest = half - i;
      RotateHalves(x, table, half, i, out, LoadFirst{rest},
                   [rest](F32 v, Element* p) { StorePartial(v, p, rest); });
    }
  }
  CopyRow(x + 2 * half, a.head_dim - a.first_lane - 2 * half, out + 2 * half);
}

void RotateRow(const RopeArgs& a, size_t row) {
  const float* table = a.table + row * 2 * a.half;
  for (size_t h = 0; h < a.heads; ++h) {
    RotateHead(a, a.x + row * a.x_stride + h * a.head_dim, table,
               a.out + row * a.out_stride + h * a.head_dim);
  }
}

// The place of one token in the cache of one layer.
struct CacheToken {
  CacheToken(const KvWriteArgs& a, size_t row)
      : cache(a.cache),
        layer(a.layer),
        block(static_cast<size_t>(a.slots[row]) / a.cache.block_tokens),
        offset(static_cast<size_t>(a.slots[row]) % a.cache.block_tokens) {}

  template <typename Element>
  Element* K(size_t head) const {
    return RowIn<Element>(cache.K(block, layer, head));
  }
  template <typename Element>
  Element* V(size_t head) const {
    return RowIn<Element>(cache.V(block, layer, head));
  }
  template <typename Element>
  Element* RowIn(std::byte* rows) const {
    return reinterpret_cast<Element*>(rows + offset * cache.RowBytes()) + kRowHeader<Element>;
  }

  const KvCacheView& cache;
  size_t layer;
  size_t block;
  size_t offset;
};

template <typename Element>
void WriteKv(const KvWriteArgs& a, size_t begin, size_t end) {
  const size_t dim = a.cache.head_dim;
  for (size_t row = begin; row < end; ++row) {
    const CacheToken token(a, row);
    if (a.cache.IsLatent()) {
      const size_t value_dim = a.cache.value_dim;
      CopyRow(a.k + row * a.k_stride, value_dim, token.K<Element>(0));
      CopyRow(a.v + row * a.v_stride, dim - value_dim, token.K<Element>(0) + value_dim);
      continue;
    }
    for (size_t g = 0; g < a.cache.kv_heads; ++g) {
      CopyRow(a.k + row * a.k_stride + g * dim, dim, token.K<Element>(g));
      CopyRow(a.v + row * a.v_stride + g * dim, dim, token.V<Element>(g));
    }
  }
}

void WriteFp8(const KvWriteArgs& a, size_t begin, size_t end) {
  for (size_t row = begin; row < end; ++row) {
    EncodeFp8Row(a.cache, a.k + row * a.k_stride, a.v + row * a.v_stride,
                 CacheToken(a, row).K<std::byte>(0));
  }
}

// Rotates a head into the cache.
template <typename Element>
void RotateInto(const RopeArgs& a, const float* x, const float* table, Element* out) {
  if constexpr (kRowHeader<Element> == 0) {
    RotateHead(a, x, table, out);
  } else {
    alignas(64) float rotated[kQ8MaxDim];
    RotateHead(a, x, table, rotated);
    CopyRow(rotated, a.head_dim, out);
  }
}

template <typename Element>
void RotateAndWriteKv(const RopeKvWriteArgs& a, size_t begin, size_t end) {
  const size_t dim = a.write.cache.head_dim;
  for (size_t row = begin; row < end; ++row) {
    RotateRow(a.q, row);
    const CacheToken token(a.write, row);
    for (size_t g = 0; g < a.write.cache.kv_heads; ++g) {
      RotateInto(a.k, a.k.x + row * a.k.x_stride + g * dim, a.k.table + row * 2 * a.k.half,
                 token.K<Element>(g));
      CopyRow(a.write.v + row * a.write.v_stride + g * dim, dim, token.V<Element>(g));
    }
  }
}

}  // namespace

void Rope(const RopeArgs& a, size_t begin, size_t end, std::byte*) noexcept {
  for (size_t row = begin; row < end; ++row) RotateRow(a, row);
}

void KvWrite(const KvWriteArgs& a, size_t begin, size_t end, std::byte*) noexcept {
  switch (a.cache.dtype) {
    case KvDType::kF32:
      return WriteKv<float>(a, begin, end);
    case KvDType::kF16:
      return WriteKv<F16>(a, begin, end);
    case KvDType::kQ8:
      return WriteKv<Code8>(a, begin, end);
    case KvDType::kFp8:
      return WriteFp8(a, begin, end);
  }
}

void RopeKvWrite(const RopeKvWriteArgs& a, size_t begin, size_t end, std::byte*) noexcept {
  switch (a.write.cache.dtype) {
    case KvDType::kF32:
      return RotateAndWriteKv<float>(a, begin, end);
    case KvDType::kF16:
      return RotateAndWriteKv<F16>(a, begin, end);
    case KvDType::kQ8:
      return RotateAndWriteKv<Code8>(a, begin, end);
    case KvDType::kFp8:
      return;  // such caches are latent, whose rows KvWrite writes
  }
}

}  // namespace pelton::cpu::KERNEL_ISA
