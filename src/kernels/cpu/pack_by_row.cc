// W8: any stored weights, rotated and rounded to 8 bits with one scale a row.
#include <algorithm>
#include <bit>
#include <cmath>
#include <cstring>
#include <limits>

#include "base/check.h"
#include "kernels/cpu/pack_panel.h"
#include "kernels/cpu/panel_layout.h"
#include "kernels/ops/rotate.h"

namespace pelton {
namespace {

constexpr uint32_t kZeroCodes = 0x80808080;  // four columns of weight zero
constexpr float kLargestCode = 127;

// As bits, so that a NaN is larger than any number.
uint32_t LargestMagnitude(const float* x, size_t count) {
  int32_t largest = 0;
  for (size_t i = 0; i < count; ++i) {
    largest = std::max(largest, std::bit_cast<int32_t>(x[i]) & 0x7fffffff);
  }
  return static_cast<uint32_t>(largest);
}

// Columns of one row, each 4 a word; a row's words are a register apart.
void StoreZeros(size_t cols, std::byte* codes) {
  for (size_t k = 0; k < cols; k += 4) std::memcpy(codes + 16 * k, &kZeroCodes, 4);
}
// To nearest, ties to even: what is added leaves whole numbers only, in the lowest bits. A library
// call for each would take most of the time of packing.
uint32_t RoundedByte(float x) { return std::bit_cast<uint32_t>(x + 0x1.8p23f) & 0xff; }
void StoreRounded(const float* x, size_t cols, float inverse, std::byte* codes) {
  for (size_t k = 0; k < cols; k += 4) {
    const uint32_t word = RoundedByte(x[k] * inverse) | RoundedByte(x[k + 1] * inverse) << 8 |
                          RoundedByte(x[k + 2] * inverse) << 16 |
                          RoundedByte(x[k + 3] * inverse) << 24;
    const uint32_t codes_of_four = word ^ kZeroCodes;
    std::memcpy(codes + 16 * k, &codes_of_four, 4);
  }
}

}  // namespace

void RotateRow(float* x, size_t cols) noexcept {
  size_t h = cols / RotationOrder(cols);
  // Two levels at once halve the loads and stores.
  for (; 4 * h <= cols; h *= 4) {
    for (size_t i = 0; i < cols; i += 4 * h) {
      float* const part = x + i;
      for (size_t j = 0; j < h; ++j) {
        const float a = part[j] + part[j + h], b = part[j] - part[j + h];
        const float c = part[j + 2 * h] + part[j + 3 * h], d = part[j + 2 * h] - part[j + 3 * h];
        part[j] = a + c;
        part[j + h] = b + d;
        part[j + 2 * h] = a - c;
        part[j + 3 * h] = b - d;
      }
    }
  }
  if (h == cols) return;
  for (size_t j = 0; j < h; ++j) {
    const float a = x[j], b = x[j + h];
    x[j] = a + b;
    x[j + h] = a - b;
  }
}

void PackPanelByRow(DType stored, const PanelRows& rows, const PanelScales& scales, size_t cols,
                    std::byte* out) {
  PELTON_CHECK(MayRotate(cols), "a pass chooses matrices that can be rotated");
  alignas(64) float values[kMostRotatedCols];
  const auto order = static_cast<float>(RotationOrder(cols));
  for (size_t row = 0; row < kPanelRows; ++row) {
    std::byte* const codes = out + kRowScaleBytes + 4 * row;
    float scale = 0;
    if (rows[row] == nullptr) {
      StoreZeros(cols, codes);
    } else {
      DecodeRow(stored, rows[row], cols, values);
      ScaleRow(*scales[row].scales, scales[row].row, cols, values);
      RotateRow(values, cols);
      // As of activations (QuantizedRows): below 2^-119 all is zero, and what is no number makes
      // the scale none.
      const uint32_t bits = LargestMagnitude(values, cols);
      const auto largest = std::bit_cast<float>(bits);
      if (!std::isfinite(largest)) {
        scale = std::numeric_limits<float>::quiet_NaN();
        StoreZeros(cols, codes);
      } else if (bits < (127u - 119u) << 23) {
        StoreZeros(cols, codes);
      } else {
        scale = largest / kLargestCode / order;
        StoreRounded(values, cols, kLargestCode / largest, codes);
      }
    }
    std::memcpy(out + row * sizeof(float), &scale, sizeof(scale));
  }
}

}  // namespace pelton
