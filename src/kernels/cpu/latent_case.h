#pragma once

#include <gtest/gtest.h>

#include <algorithm>
#include <numeric>
#include <optional>

#include "kernels/cpu/test_rows.h"
#include "kernels/ops/attention.h"
#include "kernels/ops/expanded_attention.h"
#include "kernels/ops/rope.h"
#include "kernels/reference/half.h"
#include "kernels/reference/rows.h"

// Multi-head latent attention in its two forms. Expanded: each head has keys [W_uk c | k_rope] and
// values W_uv c of its own, made from a token's latent c. Absorbed: W_uk is applied to the query
// and W_uv to the result, so that c and k_rope themselves are what is cached. Source: DeepSeek-V2
// report, section 2.1.
namespace pelton {

struct LatentShape {
  size_t heads;
  size_t latent;  // elements of c
  size_t rope;    // of k_rope, shared by the heads
  size_t nope;    // of a head's key besides
  size_t value;   // of a head's value
  KvDType dtype;
  size_t block_tokens;
  std::vector<int32_t> contexts;
};

inline LatentShape RandomLatentShape(std::mt19937& rng) {
  const auto pick = [&](std::initializer_list<size_t> from) {
    return *(from.begin() + static_cast<std::ptrdiff_t>(rng() % from.size()));
  };
  LatentShape shape{.heads = pick({1, 2, 3, 5, 16}),
                    .latent = pick({8, 32, 40, 128, 512}),
                    .rope = pick({4, 8, 32, 64}),
                    .nope = pick({8, 20, 32}),
                    .value = pick({8, 24, 32}),
                    .dtype = rng() % 2 == 0 ? KvDType::kF32 : KvDType::kF16,
                    .block_tokens = pick({1, 16, 32, 100})};
  if (shape.latent % kFp8Group == 0 && rng() % 2 == 0) shape.dtype = KvDType::kFp8;
  for (size_t s = 0; s < 1 + rng() % 3; ++s) {
    shape.contexts.push_back(static_cast<int32_t>(pick({1, 7, 40, 90, 257, 300})));
  }
  return shape;
}

class LatentCase {
 public:
  LatentCase(std::mt19937& rng, const LatentShape& shape) : s_(shape) {
    size_t blocks = 0;
    for (const int32_t context : s_.contexts) {
      first_rows_.push_back(tokens_);
      tokens_ += static_cast<size_t>(context);
      blocks += DivUp(static_cast<size_t>(context), s_.block_tokens);
    }
    c_ = RandomValues(rng, tokens_ * s_.latent);
    k_rope_ = RandomValues(rng, tokens_ * s_.rope);
    // What an f16 cache keeps exactly: the two forms see the same numbers.
    for (std::vector<float>* values : {&c_, &k_rope_}) {
      for (float& x : *values) x = HalfToFloat(reference::RoundToHalf(x));
    }
    if (s_.dtype == KvDType::kFp8) {
      // Quarters up to 3.75, which have 4 significant bits, and 8.
      for (std::vector<float>* values : {&c_, &k_rope_}) {
        for (float& x : *values) x = std::clamp(std::nearbyint(4 * x), -15.0f, 15.0f) / 4;
      }
    }
    q_nope_ = RandomValues(rng, tokens_ * s_.heads * s_.nope);
    q_rope_ = RandomValues(rng, tokens_ * s_.heads * s_.rope);
    const float deviation = 1 / std::sqrt(static_cast<float>(s_.latent));
    w_uk_ = RandomValues(rng, s_.heads * s_.nope * s_.latent, deviation);
    w_uv_ = RandomValues(rng, s_.heads * s_.value * s_.latent, deviation);
    scale_ = 1 / std::sqrt(static_cast<float>(s_.nope + s_.rope));
    Absorb();
    key_.emplace(w_uk_, s_.heads, s_.nope, s_.latent);
    value_.emplace(w_uv_, s_.heads, s_.value, s_.latent);

    cache_ = {.data = nullptr,
              .dtype = s_.dtype,
              .num_blocks = blocks,
              .layers = 2,
              .kv_heads = 1,
              .head_dim = s_.latent + s_.rope,
              .block_tokens = s_.block_tokens,
              .value_dim = s_.latent};
    order_.resize(blocks);
    std::iota(order_.begin(), order_.end(), 0);
    std::shuffle(order_.begin(), order_.end(), rng);
  }

  size_t tokens() const { return tokens_; }
  size_t width() const { return s_.heads * s_.value; }

  // [tokens, heads * value] in f64, with keys and values of each head written out.
  std::vector<double> Expanded() const {
    std::vector<double> out(tokens_ * width());
    for (size_t s = 0; s < s_.contexts.size(); ++s) {
      const size_t first = first_rows_[s], context = static_cast<size_t>(s_.contexts[s]);
      for (size_t h = 0; h < s_.heads; ++h) {
        std::vector<double> keys, values;
        for (size_t t = first; t < first + context; ++t) {
          for (size_t i = 0; i < s_.nope; ++i) keys.push_back(Project(w_uk_, h * s_.nope + i, t));
          for (size_t i = 0; i < s_.rope; ++i) keys.push_back(k_rope_[t * s_.rope + i]);
          for (size_t i = 0; i < s_.value; ++i) {
            values.push_back(Project(w_uv_, h * s_.value + i, t));
          }
        }
        for (size_t i = 0; i < context; ++i) {
          AttendRow(first + i, h, i + 1, keys, values, &out[(first + i) * width() + h * s_.value]);
        }
      }
    }
    return out;
  }

  // The same through the cache: every sequence in chunks of random length, the chunks of all
  // sequences in common steps. `attend` makes out [T, heads * latent] from the arguments.
  template <typename Attend>
  std::vector<double> Absorbed(std::mt19937& rng, const Attend& attend) {
    return InSteps(rng, [&](const Step& step, std::vector<double>& out) {
      AttendAbsorbed(step, attend, out);
    });
  }
  // `attend` makes out [T, heads * value] from arguments without implementations.
  template <typename Attend>
  std::vector<double> ExpandedInSteps(std::mt19937& rng, const Attend& attend, bool whole = false) {
    return InSteps(
        rng, [&](const Step& step, std::vector<double>& out) { AttendExpanded(step, attend, out); },
        whole);
  }

 private:
  // Weights of all heads in panels, each head by itself.
  struct PackedHeads {
    PackedHeads(const std::vector<float>& w, size_t heads, size_t rows, size_t cols)
        : head_bytes(*PackedBytes(DType::kF32, rows, cols)), panels(heads * head_bytes) {
      for (size_t h = 0; h < heads; ++h) {
        const PackSource source = {reinterpret_cast<const std::byte*>(&w[h * rows * cols]), rows,
                                   cols * sizeof(float)};
        const PackArgs args = {DType::kF32, std::span(&source, 1), cols, false,
                               panels.data() + h * head_bytes};
        PackPanels(args, 0, PackPanelCount(args));
      }
    }
    PackedWeights Weights(size_t rows, size_t cols) const {
      return {panels.data(), DType::kF32, rows, cols};
    }
    size_t head_bytes;
    AlignedBytes panels;
  };

  double Project(const std::vector<float>& w, size_t row, size_t token) const {
    double sum = 0;
    for (size_t i = 0; i < s_.latent; ++i) {
      sum += static_cast<double>(w[row * s_.latent + i]) * c_[token * s_.latent + i];
    }
    return sum;
  }

  void AttendRow(size_t t, size_t h, size_t visible, const std::vector<double>& keys,
                 const std::vector<double>& values, double* out) const {
    const size_t dim = s_.nope + s_.rope;
    std::vector<double> weights;
    for (size_t j = 0; j < visible; ++j) {
      const double* key = &keys[j * dim];
      double score = 0;
      for (size_t i = 0; i < s_.nope; ++i) {
        score += q_nope_[(t * s_.heads + h) * s_.nope + i] * key[i];
      }
      for (size_t i = 0; i < s_.rope; ++i) {
        score += q_rope_[(t * s_.heads + h) * s_.rope + i] * key[s_.nope + i];
      }
      weights.push_back(scale_ * score);
    }
    const double maximum = *std::max_element(weights.begin(), weights.end());
    double total = 0;
    for (double& w : weights) total += w = std::exp(w - maximum);
    for (size_t j = 0; j < visible; ++j) {
      for (size_t i = 0; i < s_.value; ++i) out[i] += weights[j] / total * values[j * s_.value + i];
    }
  }

  // q_latent = W_uk^T q_nope.
  void Absorb() {
    q_latent_.resize(tokens_ * s_.heads * s_.latent);
    for (size_t pair = 0; pair < tokens_ * s_.heads; ++pair) {
      const size_t h = pair % s_.heads;
      for (size_t i = 0; i < s_.latent; ++i) {
        double sum = 0;
        for (size_t n = 0; n < s_.nope; ++n) {
          sum += static_cast<double>(q_nope_[pair * s_.nope + n]) *
                 w_uk_[(h * s_.nope + n) * s_.latent + i];
        }
        q_latent_[pair * s_.latent + i] = static_cast<float>(sum);
      }
    }
  }

  const int32_t* TableOf(size_t s) const {
    size_t first = 0;
    for (size_t i = 0; i < s; ++i) {
      first += DivUp(static_cast<size_t>(s_.contexts[i]), s_.block_tokens);
    }
    return order_.data() + first;
  }

  // Some next tokens of all sequences, of which those of the cache are written.
  struct Step {
    std::vector<SequenceSpan> spans;
    std::vector<size_t> tokens;  // of the case, for each row
  };
  Step NextStep(std::mt19937& rng, bool whole, std::vector<int32_t>& done) const {
    Step step;
    std::vector<int32_t> slots;
    for (size_t s = 0; s < done.size(); ++s) {
      const int32_t left = s_.contexts[s] - done[s];
      if (left == 0) continue;
      const int32_t count =
          whole ? left : 1 + static_cast<int32_t>(rng() % static_cast<uint32_t>(left));
      step.spans.push_back(
          {static_cast<int32_t>(step.tokens.size()), count, done[s] + count, TableOf(s)});
      for (int32_t i = 0; i < count; ++i) {
        const auto position = static_cast<size_t>(done[s]) + static_cast<size_t>(i);
        step.tokens.push_back(first_rows_[s] + position);
        slots.push_back(static_cast<int32_t>(
            static_cast<size_t>(TableOf(s)[position / s_.block_tokens]) * s_.block_tokens +
            position % s_.block_tokens));
      }
      done[s] += count;
    }
    const std::vector<float> c = RowsOf(c_, step.tokens, s_.latent);
    const std::vector<float> k_rope = RowsOf(k_rope_, step.tokens, s_.rope);
    KvWriteImpls().back().run({.k = c.data(),
                               .v = k_rope.data(),
                               .k_stride = s_.latent,
                               .v_stride = s_.rope,
                               .tokens = step.tokens.size(),
                               .cache = cache_,
                               .layer = 1,
                               .slots = slots.data()},
                              0, step.tokens.size(), nullptr);
    return step;
  }

  template <typename AttendStep>
  std::vector<double> InSteps(std::mt19937& rng, const AttendStep& attend, bool whole = false) {
    AlignedBytes bytes(cache_.num_blocks * cache_.BlockBytes());
    std::memset(bytes.data(), 0xff, bytes.size());
    cache_.data = bytes.data();
    std::vector<double> out(tokens_ * width());
    std::vector<int32_t> done(s_.contexts.size());
    while (done != s_.contexts) attend(NextStep(rng, whole, done), out);
    return out;
  }

  template <typename Attend>
  void AttendAbsorbed(const Step& step, const Attend& attend, std::vector<double>& out) const {
    const std::vector<size_t>& tokens = step.tokens;
    const std::vector<float> q = RowsOf(q_latent_, tokens, s_.heads * s_.latent);
    const std::vector<float> q_rope = RowsOf(q_rope_, tokens, s_.heads * s_.rope);
    std::vector<float> mixed(tokens.size() * s_.heads * s_.latent);
    attend(AttentionArgs{.q = q.data(),
                         .out = mixed.data(),
                         .out_quantized = nullptr,
                         .q_stride = s_.heads * s_.latent,
                         .out_stride = s_.heads * s_.latent,
                         .heads = s_.heads,
                         .cache = cache_,
                         .layer = 1,
                         .sequences = step.spans.data(),
                         .num_sequences = step.spans.size(),
                         .scale = scale_,
                         .soft_cap = 0,
                         .window = 0,
                         .q_rope = q_rope.data(),
                         .q_rope_stride = s_.heads * s_.rope});
    for (size_t row = 0; row < tokens.size(); ++row) {
      for (size_t column = 0; column < width(); ++column) {
        const float* z = &mixed[(row * s_.heads + column / s_.value) * s_.latent];
        double sum = 0;
        for (size_t i = 0; i < s_.latent; ++i) {
          sum += static_cast<double>(w_uv_[column * s_.latent + i]) * z[i];
        }
        out[tokens[row] * width() + column] = sum;
      }
    }
  }

  template <typename Attend>
  void AttendExpanded(const Step& step, const Attend& attend, std::vector<double>& out) const {
    const std::vector<size_t>& tokens = step.tokens;
    const std::vector<float> q = RowsOf(q_nope_, tokens, s_.heads * s_.nope);
    const std::vector<float> q_rope = RowsOf(q_rope_, tokens, s_.heads * s_.rope);
    std::vector<float> values(tokens.size() * width());
    ExpandedAttentionArgs args{};
    args.q = q.data();
    args.q_rope = q_rope.data();
    args.out = values.data();
    args.q_stride = s_.heads * s_.nope;
    args.q_rope_stride = s_.heads * s_.rope;
    args.out_stride = width();
    args.heads = s_.heads;
    args.key = key_->Weights(s_.nope, s_.latent);
    args.value = value_->Weights(s_.value, s_.latent);
    args.key_bytes = key_->head_bytes;
    args.value_bytes = value_->head_bytes;
    args.cache = cache_;
    args.layer = 1;
    args.sequences = step.spans.data();
    args.num_sequences = step.spans.size();
    args.scale = scale_;
    attend(args);
    for (size_t row = 0; row < tokens.size(); ++row) {
      std::copy_n(values.begin() + static_cast<std::ptrdiff_t>(row * width()), width(),
                  out.begin() + static_cast<std::ptrdiff_t>(tokens[row] * width()));
    }
  }

  static std::vector<float> RowsOf(const std::vector<float>& from, const std::vector<size_t>& rows,
                                   size_t cols) {
    std::vector<float> out;
    for (const size_t row : rows) {
      const auto begin = from.begin() + static_cast<std::ptrdiff_t>(row * cols);
      out.insert(out.end(), begin, begin + static_cast<std::ptrdiff_t>(cols));
    }
    return out;
  }

  LatentShape s_;
  KvCacheView cache_;
  size_t tokens_ = 0;
  float scale_ = 1;
  std::vector<size_t> first_rows_;  // of each sequence, among all tokens
  std::vector<int32_t> order_;      // blocks, those of a sequence after each other
  std::vector<float> c_, k_rope_, q_nope_, q_rope_, q_latent_, w_uk_, w_uv_;
  std::optional<PackedHeads> key_, value_;
};

}  // namespace pelton
