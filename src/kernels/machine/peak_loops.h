#pragma once

#include <cstddef>

namespace pelton {

// What the limits of a machine are measured with. Each function does a fixed amount of work on the
// calling thread; the caller measures the time.
struct PeakLoops {
  // `rounds` rounds of independent multiply-adds in registers; returns operations done (a
  // multiply-add counts as two). Integer: 8-bit dot products in the form the ISA has for them.
  double (*float_operations)(size_t rounds) noexcept;
  double (*integer_operations)(size_t rounds) noexcept;
  // Reads memory front to back. `bytes` is a multiple of 512.
  void (*read)(const std::byte* data, size_t bytes) noexcept;
};

// For the widest vectors that CpuFeatures() permits.
const PeakLoops& VectorPeakLoops();
// For AMX tiles, the floats in bf16; null where they may not be used.
const PeakLoops* TilePeakLoops();

}  // namespace pelton
