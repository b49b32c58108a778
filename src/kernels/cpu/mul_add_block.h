#pragma once

#include KERNEL_SIMD_HEADER

// The register tiles of attention's two products, compiled per ISA. Each output is one sum in a
// fixed order, so that the result does not depend on how many rows or vectors a tile has.
namespace pelton::cpu::KERNEL_ISA {

// Rows and vectors of a tile: the accumulators, one row of b and a broadcast fit in 32 registers
// (AVX-512) or 16, and each loaded vector of b serves kBlockRows products.
inline constexpr size_t kBlockRows = 6;
inline constexpr size_t kBlockVectors = F32::kLanes == 16 ? 4 : 2;

// Up to so many rows, keys and values are used where they lie: nothing is copied that would be read
// only once.
inline constexpr size_t kDirectRows = 8;

// The right factor of a product: vector c of its row k.
struct DenseRows {
  F32 operator()(size_t k, size_t c) const { return Load(data + k * stride + c * F32::kLanes); }
  void Skip(size_t vectors) { data += vectors * F32::kLanes; }

  const float* data;
  size_t stride;
};
// Rows anywhere. As each is read, the row of the same number in `next`, of next_bytes, is brought
// towards the processor.
template <typename Element>
struct ScatteredRows {
  F32 operator()(size_t k, size_t c) const {
    const size_t i = first + c * F32::kLanes;
    const size_t byte = i * sizeof(Element);
    if (byte % 64 == 0 && byte < next_bytes) PrefetchFar(next[k] + i);
    return Load(rows[k] + i);
  }
  void Skip(size_t vectors) { first += vectors * F32::kLanes; }

  const Element* const* rows;
  const Element* const* next;
  size_t next_bytes;
  size_t first;
};

// For r < kRows and the lanes c of kVectors vectors:
//   out[r][c] = (accumulate ? out[r][c] : 0) + a[r][0] b[0][c] + ... + a[r][n - 1] b[n - 1][c]
// added in that order.
template <size_t kRows, size_t kVectors, typename Right>
void MulAddBlock(const float* a, size_t a_stride, const Right& b, size_t n, bool accumulate,
                 float* out, size_t out_stride) {
  F32 sums[kRows][kVectors];
#pragma GCC unroll 8
  for (size_t r = 0; r < kRows; ++r) {
#pragma GCC unroll 4
    for (size_t c = 0; c < kVectors; ++c) {
      sums[r][c] = accumulate ? Load(out + r * out_stride + c * F32::kLanes) : Zero();
    }
  }
  for (size_t k = 0; k < n; ++k) {
    F32 vectors[kVectors];
#pragma GCC unroll 4
    for (size_t c = 0; c < kVectors; ++c) vectors[c] = b(k, c);
#pragma GCC unroll 8
    for (size_t r = 0; r < kRows; ++r) {
      const F32 factor = Broadcast(a[r * a_stride + k]);
#pragma GCC unroll 4
      for (size_t c = 0; c < kVectors; ++c) sums[r][c] = MulAdd(factor, vectors[c], sums[r][c]);
    }
  }
#pragma GCC unroll 8
  for (size_t r = 0; r < kRows; ++r) {
#pragma GCC unroll 4
    for (size_t c = 0; c < kVectors; ++c) Store(sums[r][c], out + r * out_stride + c * F32::kLanes);
  }
}

// Calls MulAddBlock for all columns of `rows` <= kDirectRows rows.
template <size_t kRows, typename Right>
void MulAddColumns(size_t vectors, const float* a, size_t a_stride, Right b, size_t n,
                   bool accumulate, float* out, size_t out_stride) {
  constexpr size_t kStep = kRows <= kBlockRows ? kBlockVectors : kBlockVectors / 2;
  for (; vectors >= kStep; vectors -= kStep) {
    MulAddBlock<kRows, kStep>(a, a_stride, b, n, accumulate, out, out_stride);
    b.Skip(kStep);
    out += kStep * F32::kLanes;
  }
  if constexpr (kStep == 4) {
    if (vectors == 3) MulAddBlock<kRows, 3>(a, a_stride, b, n, accumulate, out, out_stride);
    if (vectors == 2) MulAddBlock<kRows, 2>(a, a_stride, b, n, accumulate, out, out_stride);
  }
  if (vectors == 1) MulAddBlock<kRows, 1>(a, a_stride, b, n, accumulate, out, out_stride);
}
template <typename Right>
void MulAddRows(size_t rows, size_t vectors, const float* a, size_t a_stride, const Right& b,
                size_t n, bool accumulate, float* out, size_t out_stride) {
  const auto call = [&](auto columns) {
    columns(vectors, a, a_stride, b, n, accumulate, out, out_stride);
  };
  switch (rows) {
    case 1:
      return call(MulAddColumns<1, Right>);
    case 2:
      return call(MulAddColumns<2, Right>);
    case 3:
      return call(MulAddColumns<3, Right>);
    case 4:
      return call(MulAddColumns<4, Right>);
    case 5:
      return call(MulAddColumns<5, Right>);
    case 6:
      return call(MulAddColumns<6, Right>);
    case 7:
      return call(MulAddColumns<7, Right>);
    default:
      return call(MulAddColumns<8, Right>);
  }
}

// out[d * stride + l] = keys[l][d], d < dim, for one vector of keys.
template <typename Element>
inline void TransposeKeys(const Element* const* keys, size_t dim, size_t stride, float* out) {
  size_t d = 0;
  for (; d + 8 <= dim; d += 8) {
    F32 columns[8];
    Transpose8(keys, d, columns);
    for (size_t i = 0; i < 8; ++i) Store(columns[i], out + (d + i) * stride);
  }
  if (d == dim) return;
  for (size_t l = 0; l < F32::kLanes; ++l) {
    for (size_t e = d; e < dim; ++e) out[e * stride + l] = FirstLane(LoadPartial(keys[l] + e, 1));
  }
}

// out[r][l] = q[r][0] keys[l][0] + ... + q[r][dim - 1] keys[l][dim - 1], added in that order, for
// r < kRows and one vector of keys; brings next_bytes of each of `next` towards the processor.
// Requires: dim % 8 == 0.
template <size_t kRows, typename Element>
void DotKeys(const float* q, const Element* const* keys, const Element* const* next,
             size_t next_bytes, size_t dim, float* out, size_t out_stride) {
  // Lines of `next` for 8 elements of all keys: each step asks for as many, the next rows of a
  // group of F32::kLanes.
  constexpr size_t kLineElements = 64 / sizeof(Element);
  constexpr size_t kLines = F32::kLanes * 8 / kLineElements;
  F32 sums[kRows];
#pragma GCC unroll 8
  for (size_t r = 0; r < kRows; ++r) sums[r] = Zero();
  for (size_t d = 0; d < dim; d += 8) {
    const size_t line = d / kLineElements * kLineElements;
    if (line * sizeof(Element) < next_bytes) {
#pragma GCC unroll 8
      for (size_t i = 0; i < kLines; ++i) PrefetchFar(next[(d - line) / 8 * kLines + i] + line);
    }
    F32 columns[8];
    Transpose8(keys, d, columns);
#pragma GCC unroll 8
    for (size_t i = 0; i < 8; ++i) {
#pragma GCC unroll 8
      for (size_t r = 0; r < kRows; ++r) {
        sums[r] = MulAdd(Broadcast(q[r * dim + d + i]), columns[i], sums[r]);
      }
    }
  }
#pragma GCC unroll 8
  for (size_t r = 0; r < kRows; ++r) Store(sums[r], out + r * out_stride);
}
// The same for `rows` <= kDirectRows rows.
template <typename Element>
void DotKeysOfRows(size_t rows, const float* q, const Element* const* keys,
                   const Element* const* next, size_t next_bytes, size_t dim, float* out,
                   size_t out_stride) {
  switch (rows) {
    case 1:
      return DotKeys<1>(q, keys, next, next_bytes, dim, out, out_stride);
    case 2:
      return DotKeys<2>(q, keys, next, next_bytes, dim, out, out_stride);
    case 3:
      return DotKeys<3>(q, keys, next, next_bytes, dim, out, out_stride);
    case 4:
      return DotKeys<4>(q, keys, next, next_bytes, dim, out, out_stride);
    case 5:
      return DotKeys<5>(q, keys, next, next_bytes, dim, out, out_stride);
    case 6:
      return DotKeys<6>(q, keys, next, next_bytes, dim, out, out_stride);
    case 7:
      return DotKeys<7>(q, keys, next, next_bytes, dim, out, out_stride);
    default:
      return DotKeys<8>(q, keys, next, next_bytes, dim, out, out_stride);
  }
}

}  // namespace pelton::cpu::KERNEL_ISA
