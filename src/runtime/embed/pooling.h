#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <string_view>

namespace pelton {

// How the hidden states of a text become one vector.
enum class Pooling : uint8_t {
  kMean,   // of all tokens
  kFirst,  // the first token's, [CLS]
  kLast,
};

// "mean", "cls", "last".
std::string_view PoolingName(Pooling pooling);
std::optional<Pooling> ParsePooling(std::string_view name);

// out[d] = mean over r of rows[r, d]; sums in f64 in the order of the rows. rows is
// [n, out.size()], n >= 1.
void MeanOfRows(std::span<const float> rows, std::span<float> out);

// Divides by the L2 norm; zeros stay.
void Normalize(std::span<float> vector);

// a . b / (|a| |b|), 0 where either is zero. Requires: equal sizes.
double Cosine(std::span<const float> a, std::span<const float> b);

}  // namespace pelton
