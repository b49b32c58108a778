#include "kernels/reference/rows.h"

#include <algorithm>
#include <cmath>

#include "kernels/reference/half.h"

namespace pelton::reference {
namespace {

double Silu(double x) { return x / (1 + std::exp(-x)); }
double GeluTanh(double x) {
  const double u = std::sqrt(2 / M_PI) * (x + 0.044715 * x * x * x);
  return x / 2 * (1 + std::tanh(u));
}

double Apply(BinaryKind kind, double limit, double a, double b) {
  if (limit > 0) {
    a = std::min(a, limit);
    b = std::clamp(b, -limit, limit);
  }
  switch (kind) {
    case BinaryKind::kAdd:
      return a + b;
    case BinaryKind::kMul:
      return a * b;
    case BinaryKind::kSiluMul:
      return Silu(a) * b;
    case BinaryKind::kGeluTanhMul:
      return GeluTanh(a) * b;
    case BinaryKind::kSwigluOaiMul:
      return a / (1 + std::exp(-1.702 * a)) * (b + 1);
  }
  return 0;
}

double Apply(UnaryKind kind, double parameter, double x) {
  switch (kind) {
    case UnaryKind::kCopy:
      return x;
    case UnaryKind::kScale:
      return x * parameter;
    case UnaryKind::kSoftCap:
      return parameter * std::tanh(x / parameter);
    case UnaryKind::kSilu:
      return Silu(x);
    case UnaryKind::kGeluTanh:
      return GeluTanh(x);
    case UnaryKind::kGeluErf:
      return x / 2 * (1 + std::erf(x / std::sqrt(2.0)));
  }
  return 0;
}

}  // namespace

RmsNormResult RmsNorm(const RmsNormArgs& a) {
  const size_t width = a.groups * a.dim;
  RmsNormResult out{std::vector<double>(a.rows * width), std::vector<double>(a.rows * width)};
  for (size_t row = 0; row < a.rows; ++row) {
    for (size_t g = 0; g < a.groups; ++g) {
      double squares = 0;
      for (size_t d = 0; d < a.dim; ++d) {
        const size_t column = g * a.dim + d;
        const double add = a.add == nullptr ? 0 : a.add[row * a.add_stride + column];
        const double s = a.x[row * a.x_stride + column] + add;
        out.sum[row * width + column] = s;
        squares += s * s;
      }
      const double scale = 1 / std::sqrt(squares / static_cast<double>(a.dim) + a.epsilon);
      for (size_t d = 0; d < a.dim; ++d) {
        const size_t i = row * width + g * a.dim + d;
        out.norm[i] = out.sum[i] * scale * a.weight[d];
      }
    }
  }
  return out;
}

std::vector<double> LayerNorm(const LayerNormArgs& a) {
  std::vector<double> out;
  for (size_t row = 0; row < a.rows; ++row) {
    const float* x = a.x + row * a.x_stride;
    double mean = 0, squares = 0;
    for (size_t d = 0; d < a.dim; ++d) mean += x[d] / static_cast<double>(a.dim);
    for (size_t d = 0; d < a.dim; ++d) squares += (x[d] - mean) * (x[d] - mean);
    const double scale = 1 / std::sqrt(squares / static_cast<double>(a.dim) + a.epsilon);
    for (size_t d = 0; d < a.dim; ++d) {
      out.push_back((x[d] - mean) * scale * a.weight[d] + a.bias[d]);
    }
  }
  return out;
}

std::vector<double> Binary(const BinaryArgs& a) {
  std::vector<double> out;
  for (size_t row = 0; row < a.rows; ++row) {
    for (size_t d = 0; d < a.dim; ++d) {
      out.push_back(Apply(a.kind, a.limit, a.a[row * a.a_stride + d], a.b[row * a.b_stride + d]));
    }
  }
  return out;
}

std::vector<double> Unary(const UnaryArgs& a) {
  std::vector<double> out;
  for (size_t row = 0; row < a.rows; ++row) {
    for (size_t d = 0; d < a.dim; ++d) {
      out.push_back(Apply(a.kind, a.parameter, a.x[row * a.x_stride + d]));
    }
  }
  return out;
}

std::vector<double> Rope(const RopeArgs& a) {
  std::vector<double> out;
  for (size_t row = 0; row < a.tokens; ++row) {
    const float* cos = a.table + row * 2 * a.half;
    const float* sin = cos + a.half;
    for (size_t h = 0; h < a.heads; ++h) {
      const float* x = a.x + row * a.x_stride + h * a.head_dim;
      std::vector<double> head(x, x + a.head_dim);
      for (size_t i = 0; i < a.half; ++i) {
        const size_t first = a.first_lane + (a.interleaved ? 2 * i : i);
        const size_t second = a.first_lane + (a.interleaved ? 2 * i + 1 : i + a.half);
        const double sine = a.back ? -double{sin[i]} : double{sin[i]};
        head[first] = double{x[first]} * cos[i] - double{x[second]} * sine;
        head[second] = double{x[first]} * sine + double{x[second]} * cos[i];
      }
      out.insert(out.end(), head.begin(), head.end());
    }
  }
  return out;
}

std::vector<double> RopeTable(const RopeTableArgs& a) {
  std::vector<double> out(a.tokens * 2 * a.half);
  for (size_t row = 0; row < a.tokens; ++row) {
    const int32_t position = a.positions[row] / a.multiple * a.multiple;
    for (size_t i = 0; i < a.half; ++i) {
      const double angle = double{a.frequencies[i]} * position;
      out[row * 2 * a.half + i] = std::cos(angle) * a.magnitude;
      out[row * 2 * a.half + a.half + i] = std::sin(angle) * a.magnitude;
    }
  }
  return out;
}

uint16_t RoundToHalf(float x) {
  const uint16_t sign = std::signbit(x) ? 0x8000 : 0;
  if (std::isnan(x)) return sign | 0x7e00;
  if (std::isinf(x)) return sign | 0x7c00;
  const float magnitude = std::fabs(x);
  if (magnitude >= 65504.0f) return sign | 0x7bff;
  // Halves grow with their bit pattern: find the neighbours below and above.
  uint16_t low = 0, high = 0x7bff;
  while (high - low > 1) {
    const uint16_t middle = static_cast<uint16_t>((low + high) / 2);
    (HalfToFloat(middle) <= magnitude ? low : high) = middle;
  }
  const double below = double{magnitude} - HalfToFloat(low);
  const double above = double{HalfToFloat(high)} - magnitude;
  if (below == above) return sign | (low % 2 == 0 ? low : high);
  return sign | (below < above ? low : high);
}

}  // namespace pelton::reference
