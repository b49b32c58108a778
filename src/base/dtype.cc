#include "base/dtype.h"

#include <array>

#include "base/check.h"
#include "base/checked_math.h"

namespace pelton {
namespace {

struct DTypeTraits {
  DType dtype;
  std::string_view name;
  uint16_t block_elements;
  uint16_t block_bytes;
};

constexpr std::array<DTypeTraits, kDTypeCount> kTraits = {{
    {DType::kF32, "F32", 1, 4},         {DType::kF16, "F16", 1, 2},
    {DType::kBF16, "BF16", 1, 2},       {DType::kF64, "F64", 1, 8},
    {DType::kBool, "BOOL", 1, 1},       {DType::kI8, "I8", 1, 1},
    {DType::kI16, "I16", 1, 2},         {DType::kI32, "I32", 1, 4},
    {DType::kI64, "I64", 1, 8},         {DType::kU8, "U8", 1, 1},
    {DType::kU16, "U16", 1, 2},         {DType::kU32, "U32", 1, 4},
    {DType::kU64, "U64", 1, 8},         {DType::kF8E4M3, "F8_E4M3", 1, 1},
    {DType::kF8E5M2, "F8_E5M2", 1, 1},  {DType::kF8E8M0, "F8_E8M0", 1, 1},
    {DType::kQ4_0, "Q4_0", 32, 18},     {DType::kQ4_1, "Q4_1", 32, 20},
    {DType::kQ5_0, "Q5_0", 32, 22},     {DType::kQ5_1, "Q5_1", 32, 24},
    {DType::kQ8_0, "Q8_0", 32, 34},     {DType::kQ2_K, "Q2_K", 256, 84},
    {DType::kQ3_K, "Q3_K", 256, 110},   {DType::kQ4_K, "Q4_K", 256, 144},
    {DType::kQ5_K, "Q5_K", 256, 176},   {DType::kQ6_K, "Q6_K", 256, 210},
    {DType::kIQ4_NL, "IQ4_NL", 32, 18}, {DType::kIQ4_XS, "IQ4_XS", 256, 136},
    {DType::kMXFP4, "MXFP4", 32, 17},   {DType::kW8, "W8", 32, 32},
}};

constexpr bool TableFollowsEnum() {
  for (size_t i = 0; i < kTraits.size(); ++i) {
    if (static_cast<size_t>(kTraits[i].dtype) != i) return false;
  }
  return true;
}
static_assert(TableFollowsEnum(), "rows are indexed by DType");

const DTypeTraits& TraitsOf(DType dtype) {
  const auto index = static_cast<size_t>(dtype);
  PELTON_CHECK(index < kTraits.size(), "a DType holds one of its enumerators");
  return kTraits[index];
}

char UpperAscii(char c) { return c >= 'a' && c <= 'z' ? static_cast<char>(c - 'a' + 'A') : c; }

bool EqualIgnoringCase(std::string_view a, std::string_view b) {
  if (a.size() != b.size()) return false;
  for (size_t i = 0; i < a.size(); ++i) {
    if (UpperAscii(a[i]) != UpperAscii(b[i])) return false;
  }
  return true;
}

}  // namespace

std::string_view DTypeName(DType dtype) { return TraitsOf(dtype).name; }

std::optional<DType> ParseDType(std::string_view name) {
  for (const DTypeTraits& traits : kTraits) {
    if (EqualIgnoringCase(traits.name, name)) return traits.dtype;
  }
  return std::nullopt;
}

size_t BlockElements(DType dtype) { return TraitsOf(dtype).block_elements; }
size_t BlockBytes(DType dtype) { return TraitsOf(dtype).block_bytes; }

std::optional<uint64_t> RowBytes(DType dtype, uint64_t elements) {
  const DTypeTraits& traits = TraitsOf(dtype);
  if (elements % traits.block_elements != 0) return std::nullopt;
  return CheckedMul<uint64_t>(elements / traits.block_elements, traits.block_bytes);
}

}  // namespace pelton
