// Tables of the ops on streams, and those that are not worth vectors.
#include "kernels/ops/streams.h"

#include <cmath>
#include <cstring>

#include "kernels/cpu/isa_impls.h"

namespace pelton {
namespace {

void StreamSpread(const StreamSpreadArgs& a, size_t begin, size_t end, std::byte*) noexcept {
  for (size_t row = begin; row < end; ++row) {
    for (size_t m = 0; m < a.streams; ++m) {
      std::memcpy(a.out + (row * a.streams + m) * a.dim, a.x + row * a.x_stride,
                  a.dim * sizeof(float));
    }
  }
}

float Sigmoid(float x) { return 1 / (1 + std::exp(-x)); }

// Divides `count` numbers, `stride` apart, by their sum.
void Normalise(float* numbers, size_t count, size_t stride, float epsilon) {
  float sum = epsilon;
  for (size_t i = 0; i < count; ++i) sum += numbers[i * stride];
  for (size_t i = 0; i < count; ++i) numbers[i * stride] /= sum;
}

// `comb` holds the logits, a row for each stream that is read.
void MakeDoublyStochastic(const StreamWeightsArgs& a, float* comb) {
  const size_t streams = a.streams;
  for (size_t m = 0; m < streams; ++m) {
    float* row = comb + m * streams;
    float largest = row[0], sum = 0;
    for (size_t n = 1; n < streams; ++n) largest = std::fmax(largest, row[n]);
    for (size_t n = 0; n < streams; ++n) sum += row[n] = std::exp(row[n] - largest);
    for (size_t n = 0; n < streams; ++n) row[n] = row[n] / sum + a.epsilon;
  }
  for (size_t round = 0; round < a.rounds; ++round) {
    for (size_t m = 0; round > 0 && m < streams; ++m) {
      Normalise(comb + m * streams, streams, 1, a.epsilon);
    }
    for (size_t n = 0; n < streams; ++n) Normalise(comb + n, streams, streams, a.epsilon);
  }
}

void StreamWeights(const StreamWeightsArgs& a, size_t begin, size_t end, std::byte*) noexcept {
  const size_t streams = a.streams;
  for (size_t row = begin; row < end; ++row) {
    const float* mixes = a.mixes + row * a.mixes_stride;
    float* out = a.out + row * a.cols;
    for (size_t m = 0; m < streams; ++m) {
      out[m] = Sigmoid(mixes[m] * a.scale[0] + a.base[m]) + a.epsilon;
    }
    if (a.cols == streams) continue;
    for (size_t n = streams; n < 2 * streams; ++n) {
      out[n] = 2 * Sigmoid(mixes[n] * a.scale[1] + a.base[n]);
    }
    for (size_t i = 2 * streams; i < a.cols; ++i) out[i] = mixes[i] * a.scale[2] + a.base[i];
    MakeDoublyStochastic(a, out + 2 * streams);
  }
}

}  // namespace

std::span<const OpImpl<StreamSpreadArgs>> StreamSpreadImpls() {
  static constexpr OpImpl<StreamSpreadArgs> kImpls[] = {{"generic", kCpuGeneric, StreamSpread}};
  return kImpls;
}
std::span<const OpImpl<StreamWeightsArgs>> StreamWeightsImpls() {
  static constexpr OpImpl<StreamWeightsArgs> kImpls[] = {{"generic", kCpuGeneric, StreamWeights}};
  return kImpls;
}

PELTON_ISA_IMPLS(StreamMerge);
PELTON_ISA_IMPLS(StreamMix);

}  // namespace pelton
