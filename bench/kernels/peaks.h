#pragma once

#include <cstddef>

// The limits of this machine that kernels are measured against. Each function does a fixed amount
// of work on the calling thread; the caller measures the time.
namespace pelton::bench {

struct PeakLoops {
  // `rounds` rounds of independent multiply-adds in registers; returns operations done (a
  // multiply-add counts as two). Integer: u8 x s8 dot products in the form the ISA has for them.
  double (*float_operations)(size_t rounds) noexcept;
  double (*integer_operations)(size_t rounds) noexcept;
  // Reads memory front to back. `bytes` is a multiple of 512.
  void (*read)(const std::byte* data, size_t bytes) noexcept;
};

// For the widest instruction set that CpuFeatures() permits.
const PeakLoops& WidestPeakLoops();

}  // namespace pelton::bench
