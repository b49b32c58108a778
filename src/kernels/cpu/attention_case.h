#pragma once

#include <algorithm>
#include <bit>
#include <cmath>
#include <numeric>

#include "kernels/cpu/test_rows.h"
#include "kernels/ops/attention.h"
#include "kernels/reference/rows.h"

namespace pelton {

// What an attention test is run on.
struct AttentionShape {
  size_t heads = 4;
  size_t kv_heads = 2;
  size_t dim = 64;
  KvDType dtype = KvDType::kF32;
  size_t block_tokens = 16;
  // Not 0: the cache is latent, with values of dim and keys of dim + rope_dim elements, and one KV
  // head.
  size_t rope_dim = 0;
  bool sinks = false;
  // (new rows, context) of each sequence.
  std::vector<std::pair<int32_t, int32_t>> sequences;

  size_t KeyDim() const { return dim + rope_dim; }
};

// Random q and cache for a step. Cache entries that no sequence owns are NaN, blocks are scattered,
// and strides are larger than rows.
class AttentionCase {
 public:
  AttentionCase(std::mt19937& rng, const AttentionShape& shape)
      : shape_(shape),
        cache_(CacheOf(shape)),
        cache_bytes_(cache_.num_blocks * cache_.BlockBytes()) {
    std::memset(cache_bytes_.data(), 0xff, cache_bytes_.size());
    cache_.data = cache_bytes_.data();
    const size_t blocks = cache_.num_blocks;
    for (const auto& [count, context] : shape.sequences) rows_ += static_cast<size_t>(count);
    std::vector<int32_t> order(blocks);
    std::iota(order.begin(), order.end(), 0);
    std::shuffle(order.begin(), order.end(), rng);
    int32_t row = 0;
    size_t next_block = 0;
    for (const auto& [count, context] : shape.sequences) {
      const size_t used = DivUp(static_cast<size_t>(context), shape.block_tokens);
      tables_.emplace_back(order.begin() + static_cast<std::ptrdiff_t>(next_block),
                           order.begin() + static_cast<std::ptrdiff_t>(next_block + used));
      next_block += used;
      spans_.push_back({row, count, context, nullptr});
      row += count;
    }
    for (size_t s = 0; s < spans_.size(); ++s) {
      spans_[s].block_table = tables_[s].data();
      for (int32_t p = 0; p < spans_[s].context; ++p) FillToken(rng, spans_[s], p);
    }
    q_stride_ = width() + 3;
    q_ = RandomValues(rng, rows_ * q_stride_);
    // About as large as the largest of many scores.
    for (const float sink : RandomValues(rng, shape.sinks ? shape.heads : 0)) {
      sinks_.push_back(2 * sink + 1);
    }
    if (shape.rope_dim != 0) q_rope_ = RandomValues(rng, rows_ * RopeStride());
  }

  size_t rows() const { return rows_; }
  size_t width() const { return shape_.heads * shape_.dim; }
  std::vector<SequenceSpan>& spans() { return spans_; }

  AttentionArgs Args(float* out) const {
    return {.q = q_.data(),
            .out = out,
            .out_quantized = nullptr,
            .q_stride = q_stride_,
            .out_stride = width(),
            .heads = shape_.heads,
            .cache = cache_,
            .layer = kLayer,
            .sequences = spans_.data(),
            .num_sequences = spans_.size(),
            .scale = 1 / std::sqrt(static_cast<float>(shape_.KeyDim())),
            .soft_cap = 0,
            .window = 0,
            .q_rope = q_rope_.empty() ? nullptr : q_rope_.data(),
            .q_rope_stride = q_rope_.empty() ? 0 : RopeStride(),
            .sinks = sinks_.empty() ? nullptr : sinks_.data()};
  }

  // The same q over keys and values that are rows of the step, seen in both directions. Rows
  // before the context of a sequence do not exist: use sequences whose rows are their context.
  AttentionArgs StepArgs(std::mt19937& rng, float* out) {
    AttentionArgs args = Args(out);
    const size_t kv_width = shape_.kv_heads * shape_.dim;
    step_k_ = RandomValues(rng, rows_ * (kv_width + 1));
    step_v_ = RandomValues(rng, rows_ * (kv_width + 2));
    args.cache = {.data = nullptr,
                  .dtype = KvDType::kF32,
                  .num_blocks = 0,
                  .layers = 0,
                  .kv_heads = shape_.kv_heads,
                  .head_dim = shape_.dim,
                  .block_tokens = 0};
    args.rows = {.k = step_k_.data(),
                 .v = step_v_.data(),
                 .k_stride = kv_width + 1,
                 .v_stride = kv_width + 2};
    args.causal = false;
    return args;
  }

  // Sets every element of the value (or key) at `position`; of a latent cache, both are one.
  void SetToken(const SequenceSpan& span, int32_t position, bool value, float x) {
    for (size_t g = 0; g < shape_.kv_heads; ++g) {
      SetRow(Row(span, position, g, value), std::vector<float>(shape_.KeyDim(), x));
    }
  }

 private:
  static constexpr size_t kLayers = 2, kLayer = 1;

  size_t RopeStride() const { return shape_.heads * shape_.rope_dim + 5; }

  static KvCacheView CacheOf(const AttentionShape& shape) {
    size_t blocks = 0;
    for (const auto& [count, context] : shape.sequences) {
      blocks += DivUp(static_cast<size_t>(context), shape.block_tokens);
    }
    return {.data = nullptr,
            .dtype = shape.dtype,
            .num_blocks = blocks,
            .layers = kLayers,
            .kv_heads = shape.kv_heads,
            .head_dim = shape.KeyDim(),
            .block_tokens = shape.block_tokens,
            .value_dim = shape.rope_dim == 0 ? 0 : shape.dim};
  }

  std::byte* Row(const SequenceSpan& span, int32_t position, size_t g, bool value) {
    const size_t p = static_cast<size_t>(position);
    const auto block = static_cast<size_t>(span.block_table[p / shape_.block_tokens]);
    std::byte* rows = value ? cache_.V(block, kLayer, g) : cache_.K(block, kLayer, g);
    return rows + p % shape_.block_tokens * cache_.RowBytes();
  }

  // A row of KvDType::kFp8. What is not finite is the scale's.
  void SetFp8Row(std::byte* row, const std::vector<float>& values) const {
    std::byte* scales = row + shape_.dim;
    std::byte* rest = scales + shape_.dim / kFp8Group * sizeof(float);
    for (size_t g = 0; g < shape_.dim / kFp8Group; ++g) {
      const float* x = &values[g * kFp8Group];
      float largest = 0;
      for (size_t i = 0; i < kFp8Group; ++i) {
        largest = std::abs(x[i]) <= largest ? largest : std::abs(x[i]);
      }
      const float scale =
          std::isfinite(largest) ? std::exp2(std::ceil(std::log2(largest / 448))) : largest;
      std::memcpy(scales + g * sizeof(scale), &scale, sizeof(scale));
      for (size_t i = 0; i < kFp8Group; ++i) {
        const float y = std::isfinite(scale) ? std::abs(x[i] / scale) : 1.0f;
        // Units of 2^(exponent - 3), of which a code with this exponent has 8 to 15.
        const int exponent = std::max(y == 0 ? -6 : std::ilogb(y), -6);
        const long units = std::lrint(std::ldexp(y, 3 - exponent));
        row[g * kFp8Group + i] =
            static_cast<std::byte>((std::signbit(x[i]) ? 0x80 : 0) | ((exponent + 6) * 8 + units));
      }
    }
    for (size_t d = shape_.dim; d < values.size(); ++d) {
      const auto half = static_cast<uint16_t>(std::bit_cast<uint32_t>(values[d]) >> 16);
      std::memcpy(rest + (d - shape_.dim) * sizeof(half), &half, sizeof(half));
    }
  }

  void SetRow(std::byte* row, const std::vector<float>& values) {
    if (shape_.dtype == KvDType::kFp8) return SetFp8Row(row, values);
    if (shape_.dtype == KvDType::kQ8) {
      float largest = 0;
      for (const float x : values) largest = std::abs(x) <= largest ? largest : std::abs(x);
      // What is not finite is the scale's.
      const float scale = std::isfinite(largest) ? largest / 127 : largest;
      std::memcpy(row, &scale, sizeof(scale));
      for (size_t d = 0; d < values.size(); ++d) {
        const auto code = static_cast<int8_t>(
            std::isfinite(scale) && scale > 0 ? std::lround(values[d] / scale) : 1);
        std::memcpy(row + sizeof(scale) + d, &code, 1);
      }
      return;
    }
    for (size_t d = 0; d < values.size(); ++d) {
      if (shape_.dtype == KvDType::kF32) {
        std::memcpy(row + d * sizeof(float), &values[d], sizeof(float));
      } else {
        const uint16_t half = reference::RoundToHalf(values[d]);
        std::memcpy(row + d * sizeof(half), &half, sizeof(half));
      }
    }
  }

  void FillToken(std::mt19937& rng, const SequenceSpan& span, int32_t position) {
    std::normal_distribution<float> normal;
    for (size_t g = 0; g < shape_.kv_heads; ++g) {
      for (size_t side = 0; side < cache_.Sides(); ++side) {
        std::vector<float> values(shape_.KeyDim());
        for (float& x : values) x = normal(rng);
        SetRow(Row(span, position, g, side == 1), values);
      }
    }
  }

  AttentionShape shape_;
  KvCacheView cache_;
  AlignedBytes cache_bytes_;
  size_t rows_ = 0;
  std::vector<std::vector<int32_t>> tables_;
  std::vector<SequenceSpan> spans_;
  size_t q_stride_ = 0;
  std::vector<float> q_;
  std::vector<float> q_rope_;
  std::vector<float> sinks_;
  std::vector<float> step_k_, step_v_;
};

}  // namespace pelton
