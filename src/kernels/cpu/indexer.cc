// Units, scratch memory and tables of the indexer's ops, and those that choose.
#include "kernels/ops/indexer.h"

#include <algorithm>
#include <bit>
#include <cstring>

#include "base/checked_math.h"
#include "kernels/cpu/indexer_units.h"
#include "kernels/cpu/isa_impls.h"

namespace pelton {
namespace cpu {

RowPlace PlaceOfRow(const SequenceSpan* sequences, size_t row) noexcept {
  while (row >= static_cast<size_t>(sequences->first_row) + static_cast<size_t>(sequences->count)) {
    ++sequences;
  }
  const size_t new_row = row - static_cast<size_t>(sequences->first_row);
  return {sequences, static_cast<size_t>(sequences->context - sequences->count) + new_row};
}

namespace {

size_t UnitsOfRow(const IndexScoresArgs& a) noexcept {
  int32_t longest = 0;
  for (size_t s = 0; s < a.num_sequences; ++s) longest = std::max(longest, a.sequences[s].context);
  return DivUp(static_cast<size_t>(longest) / a.ratio, kIndexUnitKeys);
}

}  // namespace

IndexUnit IndexUnitOf(const IndexScoresArgs& a, size_t unit) noexcept {
  const size_t units_of_row = UnitsOfRow(a);
  // Later rows see more keys. Taking one from each end in turn gives every contiguous part of the
  // units about the same work.
  const size_t turn = unit / units_of_row;
  const size_t row = turn % 2 == 0 ? turn / 2 : a.tokens - 1 - turn / 2;
  const RowPlace place = PlaceOfRow(a.sequences, row);
  const size_t begin = unit % units_of_row * kIndexUnitKeys;
  return {row, place.sequence, begin,
          std::min(begin + kIndexUnitKeys, (place.position + 1) / a.ratio)};
}

IndexScratch IndexScratchOf(const IndexScoresArgs& a) noexcept {
  IndexScratch out{};
  const auto take = [&](size_t bytes) {
    const size_t offset = out.bytes;
    out.bytes += RoundUp(bytes, 64);
    return offset;
  };
  out.rows = take(kIndexBlock * sizeof(void*));
  out.key_block = take(a.Dim() * kIndexBlock * sizeof(float));
  out.products = take(a.heads * kIndexBlock * sizeof(float));
  return out;
}

namespace {

// Orders as the score does; NaN below everything, and no difference between the two zeros.
uint32_t Rank(float score) {
  constexpr uint32_t kSign = 0x80000000;
  if (score != score) return 0;
  const auto bits = std::bit_cast<uint32_t>(score + 0.0f);
  return (bits & kSign) != 0 ? ~bits : bits | kSign;
}

// The rank of the worst that is chosen, and how many of this rank are.
struct Threshold {
  uint32_t rank;
  size_t equals;
};

// Finds it digit by digit from the highest, by counting: a fixed number of passes, whatever the
// scores. Requires: 0 < top <= count.
Threshold FindThreshold(const float* scores, size_t count, size_t top) {
  constexpr uint32_t kDigits = 2048, kShifts[] = {21, 10, 0};
  Threshold found{0, top};
  uint32_t known = 0;  // the bits of found.rank that are final
  for (const uint32_t shift : kShifts) {
    uint32_t counts[kDigits] = {};
    for (size_t j = 0; j < count; ++j) {
      const uint32_t rank = Rank(scores[j]);
      if ((rank & known) == found.rank) ++counts[(rank & ~known) >> shift];
    }
    uint32_t digit = kDigits - 1;
    while (counts[digit] < found.equals) found.equals -= counts[digit--];
    found.rank |= digit << shift;
    known = ~uint32_t{0} << shift;
  }
  return found;
}

void TopPositions(const TopPositionsArgs& a, size_t begin, size_t end, std::byte*) noexcept {
  for (size_t row = begin; row < end; ++row) {
    const size_t count = (PlaceOfRow(a.sequences, row).position + 1) / a.ratio;
    int32_t* out = a.positions + row * a.top;
    if (count <= a.top) {
      for (size_t j = 0; j < a.top; ++j) out[j] = j < count ? static_cast<int32_t>(j) : -1;
      continue;
    }
    const float* scores = a.scores + row * a.scores_stride;
    Threshold threshold = FindThreshold(scores, count, a.top);
    size_t chosen = 0;
    for (size_t j = 0; chosen < a.top; ++j) {
      const uint32_t rank = Rank(scores[j]);
      if (rank < threshold.rank || (rank == threshold.rank && threshold.equals == 0)) continue;
      if (rank == threshold.rank) --threshold.equals;
      out[chosen++] = static_cast<int32_t>(j);
    }
  }
}

void KeepPositions(const KeepPositionsArgs& a, size_t begin, size_t end, std::byte*) noexcept {
  for (size_t unit = begin; unit < end; ++unit) {
    const size_t row = unit / a.heads;
    const int32_t* next = a.positions + row * a.top;
    const int32_t* last = next + a.top;
    float* scores = a.scores + unit * a.scores_stride;
    for (int32_t j = 0; j < PlaceOfRow(a.sequences, row).sequence->context; ++j) {
      if (next != last && *next == j) {
        ++next;
      } else {
        scores[j] = -__builtin_inff();
      }
    }
  }
}

}  // namespace
}  // namespace cpu

size_t IndexScoresUnits(const IndexScoresArgs& a) { return a.tokens * cpu::UnitsOfRow(a); }
size_t IndexScoresScratchBytes(const IndexScoresArgs& a) { return cpu::IndexScratchOf(a).bytes; }

PELTON_ISA_IMPLS(IndexWrite);
PELTON_ISA_IMPLS(IndexScores);

std::span<const OpImpl<TopPositionsArgs>> TopPositionsImpls() {
  static constexpr OpImpl<TopPositionsArgs> kImpls[] = {
      {"generic", kCpuGeneric, cpu::TopPositions}};
  return kImpls;
}
std::span<const OpImpl<KeepPositionsArgs>> KeepPositionsImpls() {
  static constexpr OpImpl<KeepPositionsArgs> kImpls[] = {
      {"generic", kCpuGeneric, cpu::KeepPositions}};
  return kImpls;
}

}  // namespace pelton
