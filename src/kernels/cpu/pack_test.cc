#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <cstring>
#include <random>
#include <vector>

#include "base/checked_math.h"
#include "kernels/ops/packed_weights.h"
#include "kernels/ops/rotate.h"
#include "kernels/reference/half.h"

namespace pelton {
namespace {

std::vector<DType> PanelDTypes() {
  std::vector<DType> dtypes;
  for (size_t i = 0; i < kDTypeCount; ++i) {
    if (IsStoredFormat(static_cast<DType>(i))) dtypes.push_back(static_cast<DType>(i));
  }
  return dtypes;
}

// Offsets of the f16 fields in a stored block; every other byte may have any value.
std::vector<size_t> HalfFields(DType dtype) {
  switch (dtype) {
    case DType::kQ4_1:
    case DType::kQ5_1:
    case DType::kQ4_K:
    case DType::kQ5_K:
      return {0, 2};
    case DType::kQ2_K:
      return {80, 82};
    case DType::kQ3_K:
      return {108};
    case DType::kQ6_K:
      return {208};
    default:
      return {0};
  }
}

struct Matrix {
  DType dtype;
  size_t rows, cols, row_bytes;
  std::vector<std::byte> data;
  std::vector<float> scale_values = {};  // of blocks of 20 x 128; empty where the format has none

  BlockScales ScalesFrom(size_t row) const {
    if (scale_values.empty()) return {};
    return {reinterpret_cast<const std::byte*>(scale_values.data()), DType::kF32, 20, 128, row};
  }
  PackSource Source() const { return {data.data(), rows, row_bytes, ScalesFrom(0)}; }
  std::vector<float> Decoded(size_t row) const {
    std::vector<float> values(cols);
    DecodeRow(dtype, data.data() + row * row_bytes, cols, values.data());
    ScaleRow(ScalesFrom(0), row, cols, values.data());
    return values;
  }
};

Matrix RandomMatrix(DType dtype, size_t rows, size_t cols, std::mt19937& random) {
  Matrix matrix{dtype, rows, cols, static_cast<size_t>(*RowBytes(dtype, cols)), {}};
  matrix.data.resize(rows * matrix.row_bytes);
  for (std::byte& byte : matrix.data) byte = static_cast<std::byte>(random());
  // Exponents below the all-ones ones of infinities and NaN, which compare unequal to themselves.
  const auto clear = [&](size_t at, uint8_t bits) { matrix.data[at] &= ~std::byte{bits}; };
  if (IsQuantized(dtype)) {
    for (size_t at = 0; at < matrix.data.size(); at += BlockBytes(dtype)) {
      for (const size_t field : HalfFields(dtype)) clear(at + field + 1, 0x40);
      if (dtype == DType::kMXFP4) clear(at, 0x80);
    }
  } else {
    const size_t bytes = BlockBytes(dtype);
    for (size_t at = bytes - 1; at < matrix.data.size(); at += bytes) clear(at, 0x40);
  }
  if (dtype == DType::kF8E4M3) {
    matrix.scale_values.resize(DivUp(rows, 20) * DivUp(cols, 128));
    for (float& scale : matrix.scale_values)
      scale = static_cast<float>(random() % 1000 + 1) * 1e-3f;
  }
  return matrix;
}

uint16_t HalfAt(const std::byte* from) {
  uint16_t half;
  std::memcpy(&half, from, 2);
  return half;
}

// The weights of one panel, [cols][16], read as the layout in packed_weights.h is written.
class Panel {
 public:
  Panel(DType dtype, size_t cols, const std::byte* data)
      : dtype_(dtype), format_(*PanelFormatOf(dtype)), cols_(cols), data_(data) {}

  float At(size_t row, size_t k) const {
    if (dtype_ == DType::kF8E4M3) return Float8(row, k);
    if (dtype_ == DType::kW8) return ByRow(row, k);
    if (format_.code_bits == 0) return Scalar(row, k);
    return format_.super ? Super(row, k) : Simple(row, k);
  }

  // Everything that is read; the panel's size.
  size_t Bytes() const {
    if (dtype_ == DType::kF8E4M3) return DivUp(cols_, 128) * 64 + RoundUp(cols_, 32) * 16;
    if (format_.code_bits == 0) return RoundUp(cols_, 32) * 16 * BlockBytes(dtype_);
    if (format_.super) return cols_ / 256 * SuperBytes();
    size_t bytes = 0;
    for (size_t first = 0; first < cols_ / 32; first += 4) bytes += GroupBytes(first);
    return bytes;
  }

 private:
  size_t CodeBytes() const { return static_cast<size_t>(format_.code_bits) * 64; }
  size_t Count(size_t first) const { return std::min<size_t>(4, cols_ / 32 - first); }
  size_t HeaderBytes(size_t first) const {
    return RoundUp(Count(first) * (format_.has_minimum ? 64 : 32), 64);
  }
  size_t GroupBytes(size_t first) const { return HeaderBytes(first) + Count(first) * CodeBytes(); }
  size_t SuperBytes() const {
    const size_t scales = 256 / static_cast<size_t>(format_.sub) * 16;
    return 64 + scales * (format_.has_minimum ? 2 : 1) + 8 * CodeBytes();
  }

  float ByRow(size_t row, size_t k) const {
    float scale;
    std::memcpy(&scale, data_ + 4 * row, sizeof(scale));
    const auto code = std::to_integer<int>(data_[64 + k / 4 * 64 + 4 * row + k % 4]);
    return scale * static_cast<float>(code - 128);
  }
  float Scalar(size_t row, size_t k) const {
    const size_t bytes = BlockBytes(dtype_);
    const std::byte* at = data_ + ((k / 2 * 16 + row) * 2 + k % 2) * bytes;
    if (dtype_ == DType::kF16) return HalfToFloat(HalfAt(at));
    if (dtype_ == DType::kBF16) return BFloat16ToFloat(HalfAt(at));
    float value;
    std::memcpy(&value, at, 4);
    return value;
  }

  float Float8(size_t row, size_t k) const {
    const std::byte* group = data_ + k / 128 * (64 + 128 * 16);
    float scale;
    std::memcpy(&scale, group + 4 * row, 4);
    const std::byte code = group[64 + (k % 128 / 2 * 16 + row) * 2 + k % 2];
    return scale * Float8ToFloat(std::to_integer<uint8_t>(code));
  }

  int Code(const std::byte* block, size_t row, size_t k) const {
    const size_t quad = k / 4, byte = row * 4 + k % 4;
    const auto at = [&](size_t offset) { return std::to_integer<int>(block[offset]); };
    if (format_.code_bits == 8) return at(quad * 64 + byte);
    const int both = at(quad % 4 * 64 + byte);
    const int low = quad < 4 ? both & 15 : both >> 4;
    if (format_.code_bits == 4) return low;
    return low | ((at(256 + quad / 4 * 64 + byte) >> (2 * (quad % 4))) & 3) << 4;
  }

  float Level(int code) const {
    if (format_.float4) return kFloat4Values[code];
    return static_cast<float>(format_.table ? kIq4NlValues[code] : code - format_.zero);
  }

  float Simple(size_t row, size_t k) const {
    const size_t first = k / 128 * 4;
    const std::byte* group = data_;
    for (size_t before = 0; before < first; before += 4) group += GroupBytes(before);
    const size_t block = k / 32 - first;
    const uint16_t stored = HalfAt(group + (block * 16 + row) * 2);
    const float scale = format_.float4 ? BFloat16ToFloat(stored) : HalfToFloat(stored);
    const std::byte* codes = group + HeaderBytes(first) + block * CodeBytes();
    const float product = scale * Level(Code(codes, row, k % 32));
    if (!format_.has_minimum) return product;
    return product + HalfToFloat(HalfAt(group + ((Count(first) + block) * 16 + row) * 2));
  }

  float Super(size_t row, size_t k) const {
    const std::byte* super = data_ + k / 256 * SuperBytes();
    const size_t sub = static_cast<size_t>(format_.sub), subs = 256 / sub;
    const float d = HalfToFloat(HalfAt(super + 2 * row));
    const float dmin = HalfToFloat(HalfAt(super + 32 + 2 * row));
    const std::byte* scales = super + 64 + k % 256 / sub * 16;
    const auto scale = static_cast<int8_t>(scales[row]);
    const std::byte* codes = super + SuperBytes() - 8 * CodeBytes() + k % 256 / 32 * CodeBytes();
    const float product = d * static_cast<float>(scale) * Level(Code(codes, row, k % 32));
    if (!format_.has_minimum) {
      EXPECT_EQ(dmin, 0.0f);
      return product;
    }
    return product - dmin * static_cast<float>(std::to_integer<int>(scales[subs * 16 + row]));
  }

  DType dtype_;
  PanelFormat format_;
  size_t cols_;
  const std::byte* data_;
};

constexpr std::byte kUntouched{0xa5};

std::vector<std::byte> Packed(const PackArgs& shape, size_t panel_bytes, size_t begin, size_t end) {
  PackArgs args = shape;
  std::vector<std::byte> out(PackPanelCount(args) * panel_bytes, kUntouched);
  args.out = out.data();
  PackPanels(args, begin, end);
  return out;
}

// Rows of a panel against the rows they should be, null for padding.
void ExpectPanel(const Panel& panel, const Matrix* matrix, size_t first_row, size_t cols) {
  const size_t padded = RoundUp(cols, 32);
  for (size_t row = 0; row < 16; ++row) {
    const bool present = matrix != nullptr && first_row + row < matrix->rows;
    std::vector<float> expected = present ? matrix->Decoded(first_row + row) : std::vector<float>();
    expected.resize(padded, 0.0f);
    for (size_t k = 0; k < padded; ++k) ASSERT_EQ(panel.At(row, k), expected[k]) << row << " " << k;
  }
}

std::vector<size_t> TestCols(DType dtype) {
  if (dtype == DType::kF8E4M3) return {1, 31, 33, 128, 129, 160, 300};
  if (!IsQuantized(dtype)) return {1, 31, 32, 33, 100, 256};
  if (BlockElements(dtype) == 256) return {256, 768};
  return {32, 64, 96, 128, 160, 320};
}

TEST(PackPanels, HoldsEveryStoredValue) {
  std::mt19937 random(1);
  for (const DType dtype : PanelDTypes()) {
    for (const size_t cols : TestCols(dtype)) {
      for (const size_t rows : {1, 16, 17, 32, 45}) {
        SCOPED_TRACE(testing::Message() << DTypeName(dtype) << " " << rows << " x " << cols);
        const Matrix matrix = RandomMatrix(dtype, rows, cols, random);
        const PackSource source = matrix.Source();
        const PackArgs args{dtype, {&source, 1}, cols, false, nullptr};
        const size_t panels = PackPanelCount(args);
        ASSERT_EQ(panels, RoundUp(rows, 32) / 16);
        const size_t panel_bytes = PanelBytes(dtype, cols).value();
        ASSERT_EQ(PackedBytes(dtype, rows, cols), panels * panel_bytes);
        const std::vector<std::byte> out = Packed(args, panel_bytes, 0, panels);
        for (size_t p = 0; p < panels; ++p) {
          const Panel panel(dtype, cols, out.data() + p * panel_bytes);
          ASSERT_EQ(panel.Bytes(), panel_bytes);
          ExpectPanel(panel, &matrix, 16 * p, cols);
          if (HasFatalFailure()) return;
        }
      }
    }
  }
}

TEST(PackPanels, LaysSourcesEndToEnd) {
  std::mt19937 random(2);
  for (const DType dtype : PanelDTypes()) {
    SCOPED_TRACE(DTypeName(dtype));
    const size_t cols = 256;
    const Matrix all = RandomMatrix(dtype, 70, cols, random);
    // 20 + 3 + 0 + 47 rows; one source has gaps between its rows.
    const size_t stride = all.row_bytes + 5;
    std::vector<std::byte> spaced(47 * stride);
    for (size_t row = 0; row < 47; ++row) {
      std::memcpy(spaced.data() + row * stride, all.data.data() + (23 + row) * all.row_bytes,
                  all.row_bytes);
    }
    const PackSource sources[] = {
        {all.data.data(), 20, all.row_bytes, all.ScalesFrom(0)},
        {all.data.data() + 20 * all.row_bytes, 3, all.row_bytes, all.ScalesFrom(20)},
        {all.data.data(), 0, all.row_bytes},
        {spaced.data(), 47, stride, all.ScalesFrom(23)}};
    const PackArgs args{dtype, sources, cols, false, nullptr};
    const size_t panel_bytes = PanelBytes(dtype, cols).value();
    ASSERT_EQ(PackPanelCount(args), 6u);
    const std::vector<std::byte> out = Packed(args, panel_bytes, 0, 6);
    for (size_t p = 0; p < 6; ++p) {
      ExpectPanel(Panel(dtype, cols, out.data() + p * panel_bytes), &all, 16 * p, cols);
      if (HasFatalFailure()) return;
    }
  }
}

TEST(PackPanels, AlternatesPanelsOfTwoSources) {
  std::mt19937 random(3);
  for (const DType dtype : PanelDTypes()) {
    SCOPED_TRACE(DTypeName(dtype));
    const size_t cols = 256;
    const Matrix gate = RandomMatrix(dtype, 37, cols, random);
    const Matrix up = RandomMatrix(dtype, 37, cols, random);
    const PackSource sources[] = {gate.Source(), up.Source()};
    const PackArgs args{dtype, sources, cols, true, nullptr};
    const size_t panel_bytes = PanelBytes(dtype, cols).value();
    ASSERT_EQ(PackPanelCount(args), 8u);
    const std::vector<std::byte> out = Packed(args, panel_bytes, 0, 8);
    for (size_t p = 0; p < 8; ++p) {
      ExpectPanel(Panel(dtype, cols, out.data() + p * panel_bytes), p % 2 == 0 ? &gate : &up,
                  p / 2 * 16, cols);
      if (HasFatalFailure()) return;
    }
  }
}

TEST(PackPanels, WritesTheGivenPanelsOnly) {
  std::mt19937 random(4);
  for (const DType dtype : PanelDTypes()) {
    SCOPED_TRACE(DTypeName(dtype));
    const size_t cols = 256;
    const Matrix matrix = RandomMatrix(dtype, 64, cols, random);
    const PackSource source = matrix.Source();
    const PackArgs args{dtype, {&source, 1}, cols, false, nullptr};
    const size_t panel_bytes = PanelBytes(dtype, cols).value();
    const std::vector<std::byte> whole = Packed(args, panel_bytes, 0, 4);
    const std::vector<std::byte> part = Packed(args, panel_bytes, 1, 3);
    const auto at = [&](const std::vector<std::byte>& out, size_t panel) {
      return out.begin() + static_cast<ptrdiff_t>(panel * panel_bytes);
    };
    EXPECT_TRUE(std::equal(at(whole, 1), at(whole, 3), at(part, 1)));
    const auto untouched = [](std::byte byte) { return byte == kUntouched; };
    EXPECT_TRUE(std::all_of(at(part, 0), at(part, 1), untouched));
    EXPECT_TRUE(std::all_of(at(part, 3), at(part, 4), untouched));
  }
}

TEST(PackPanels, NanOfAFileMakesTheScaleOfItsGroupNan) {
  std::mt19937 random(5);
  Matrix matrix = RandomMatrix(DType::kF8E4M3, 17, 300, random);
  matrix.data[3 * 300 + 127] = std::byte{0x7f};
  matrix.data[16 * 300 + 299] = std::byte{0xff};
  const PackSource source = matrix.Source();
  const PackArgs args{DType::kF8E4M3, {&source, 1}, 300, false, nullptr};
  const size_t panel_bytes = PanelBytes(DType::kF8E4M3, 300).value();
  const std::vector<std::byte> out = Packed(args, panel_bytes, 0, 2);
  for (size_t row = 0; row < 32; ++row) {
    const Panel panel(DType::kF8E4M3, 300, out.data() + row / 16 * panel_bytes);
    for (size_t k = 0; k < 320; ++k) {
      EXPECT_EQ(std::isnan(panel.At(row % 16, k)), (row == 3 && k < 128) || (row == 16 && k >= 256))
          << row << " " << k;
    }
  }
}

// W8 from every stored format: each row rotated, its largest magnitude 127 steps, every weight
// within half a step.
TEST(PackPanels, W8IsTheRotatedRowWithinHalfAStep) {
  std::mt19937 random(6);
  for (const DType dtype : PanelDTypes()) {
    for (const size_t cols : {96, 512}) {
      if (cols % BlockElements(dtype) != 0) continue;
      SCOPED_TRACE(testing::Message() << DTypeName(dtype) << " " << cols);
      const Matrix gate = RandomMatrix(dtype, 21, cols, random);
      const Matrix up = RandomMatrix(dtype, 21, cols, random);
      const PackSource sources[] = {gate.Source(), up.Source()};
      for (const bool interleave : {false, true}) {
        const PackArgs args{dtype, sources, cols, interleave, nullptr, 0, DType::kW8};
        const size_t panel_bytes = PanelBytes(DType::kW8, cols).value();
        const size_t panels = PackPanelCount(args);
        const std::vector<std::byte> out = Packed(args, panel_bytes, 0, panels);
        for (size_t row = 0; row < 16 * panels; ++row) {
          const size_t source = interleave ? row / 16 % 2 : row / 21;
          const size_t r = interleave ? row / 32 * 16 + row % 16 : row % 21;
          std::vector<float> want(cols);
          if (source < 2 && r < 21) want = (source == 0 ? gate : up).Decoded(r);
          RotateRow(want.data(), cols);
          const Panel panel(DType::kW8, cols, out.data() + row / 16 * panel_bytes);
          float largest = 0;
          for (float w : want) largest = std::max(largest, std::abs(w));
          const auto order = static_cast<double>(RotationOrder(cols));
          for (size_t k = 0; k < cols; ++k) {
            ASSERT_NEAR(panel.At(row % 16, k) * order, want[k], 0.50001 * largest / 127)
                << row << " " << k;
          }
        }
      }
    }
  }
}

TEST(PackPanels, W8OfWhatIsNoNumberHasAScaleThatIsNone) {
  std::vector<float> rows(3 * 64, 1.0f);
  rows[64 + 5] = std::numeric_limits<float>::infinity();
  rows[64 + 6] = std::numeric_limits<float>::quiet_NaN();
  for (size_t k = 0; k < 64; ++k) rows[128 + k] = 1e-42f;
  const PackSource source{reinterpret_cast<const std::byte*>(rows.data()), 3, 256};
  const PackArgs args{DType::kF32, {&source, 1}, 64, false, nullptr, 0, DType::kW8};
  const std::vector<std::byte> out = Packed(args, PanelBytes(DType::kW8, 64).value(), 0, 2);
  const Panel panel(DType::kW8, 64, out.data());
  EXPECT_NEAR(panel.At(0, 0), 1, 1e-6);
  EXPECT_TRUE(std::isnan(panel.At(1, 7)));
  EXPECT_EQ(panel.At(2, 0), 0);
  EXPECT_EQ(panel.At(3, 0), 0);
}

TEST(ScaleAt, ReadsEveryTypeOfScales) {
  const uint16_t bf16[] = {0x3f80, 0x4000, 0x3e80, 0x7fc0};
  const BlockScales of_bf16{reinterpret_cast<const std::byte*>(bf16), DType::kBF16, 2, 128, 1};
  EXPECT_EQ(ScaleAt(of_bf16, 200, 0, 127), 1.0f);
  EXPECT_EQ(ScaleAt(of_bf16, 200, 0, 128), 2.0f);
  EXPECT_EQ(ScaleAt(of_bf16, 200, 1, 0), 0.25f);
  EXPECT_TRUE(std::isnan(ScaleAt(of_bf16, 200, 2, 199)));
  const uint8_t powers[] = {127, 0, 1, 254, 255};
  const BlockScales of_powers{reinterpret_cast<const std::byte*>(powers), DType::kF8E8M0, 1, 128};
  EXPECT_EQ(ScaleAt(of_powers, 5, 0, 4), 1.0f);
  EXPECT_EQ(ScaleAt(of_powers, 5, 1, 4), 0x1p-127f);
  EXPECT_EQ(ScaleAt(of_powers, 5, 2, 4), 0x1p-126f);
  EXPECT_EQ(ScaleAt(of_powers, 5, 3, 4), 0x1p127f);
  EXPECT_TRUE(std::isnan(ScaleAt(of_powers, 5, 4, 4)));
  // Of any alignment.
  std::vector<std::byte> bytes(1 + sizeof(float));
  const float value = 0.37f;
  std::memcpy(bytes.data() + 1, &value, sizeof(value));
  EXPECT_EQ(ScaleAt({bytes.data() + 1}, 128, 127, 127), value);
  EXPECT_EQ(ScaleAt({}, 128, 127, 127), 1.0f);
}

TEST(PanelBytes, RefusesWhatCannotBePacked) {
  EXPECT_EQ(PanelBytes(DType::kI32, 32), std::nullopt);
  EXPECT_EQ(PanelBytes(DType::kIQ4_XS, 256), std::nullopt);
  EXPECT_EQ(PanelBytes(DType::kQ8_0, 33), std::nullopt);
  EXPECT_EQ(PanelBytes(DType::kQ4_K, 128), std::nullopt);
  EXPECT_EQ(PanelBytes(DType::kF32, SIZE_MAX), std::nullopt);
  EXPECT_EQ(PanelBytes(DType::kF32, SIZE_MAX / 8), std::nullopt);
  EXPECT_EQ(PackedBytes(DType::kQ8_0, SIZE_MAX, 32), std::nullopt);
  EXPECT_EQ(PackedBytes(DType::kQ8_0, SIZE_MAX / 64, 4096), std::nullopt);
  EXPECT_EQ(PackedBytes(DType::kQ8_0, 33, 0), 0u);
  EXPECT_EQ(PanelBytes(DType::kQ8_0, 160), 4 * 544u + 64 + 512);
  EXPECT_EQ(PanelBytes(DType::kQ6_K, 256), 64 + 256 + 8 * 384u);
  EXPECT_EQ(PanelBytes(DType::kF8E4M3, 160), 2 * 64 + 5 * 512u);
  EXPECT_EQ(PanelBytes(DType::kW8, 160), 64 + 5 * 512u);
  EXPECT_EQ(PanelBytes(DType::kW8, 33), std::nullopt);
  EXPECT_EQ(PanelBytes(DType::kF8E4M3, SIZE_MAX), std::nullopt);
}

}  // namespace
}  // namespace pelton
