#include "runtime/embed/pooling.h"

#include <cmath>
#include <vector>

#include "base/check.h"

namespace pelton {

std::string_view PoolingName(Pooling pooling) {
  switch (pooling) {
    case Pooling::kMean:
      return "mean";
    case Pooling::kFirst:
      return "cls";
    case Pooling::kLast:
      return "last";
  }
  return "";
}

std::optional<Pooling> ParsePooling(std::string_view name) {
  for (const Pooling pooling : {Pooling::kMean, Pooling::kFirst, Pooling::kLast}) {
    if (PoolingName(pooling) == name) return pooling;
  }
  return std::nullopt;
}

void MeanOfRows(std::span<const float> rows, std::span<float> out) {
  PELTON_CHECK(!out.empty() && !rows.empty() && rows.size() % out.size() == 0, "whole rows");
  std::vector<double> sums(out.size());
  for (size_t begin = 0; begin < rows.size(); begin += out.size()) {
    for (size_t d = 0; d < out.size(); ++d) sums[d] += rows[begin + d];
  }
  const size_t count = rows.size() / out.size();
  for (size_t d = 0; d < out.size(); ++d) {
    out[d] = static_cast<float>(sums[d] / static_cast<double>(count));
  }
}

void Normalize(std::span<float> vector) {
  double squares = 0;
  for (const float x : vector) squares += double{x} * x;
  if (squares == 0) return;
  const double factor = 1 / std::sqrt(squares);
  for (float& x : vector) x = static_cast<float>(x * factor);
}

double Cosine(std::span<const float> a, std::span<const float> b) {
  PELTON_CHECK(a.size() == b.size(), "vectors of one model");
  double dot = 0, squares_a = 0, squares_b = 0;
  for (size_t d = 0; d < a.size(); ++d) {
    dot += double{a[d]} * b[d];
    squares_a += double{a[d]} * a[d];
    squares_b += double{b[d]} * b[d];
  }
  return squares_a == 0 || squares_b == 0 ? 0 : dot / std::sqrt(squares_a * squares_b);
}

}  // namespace pelton
