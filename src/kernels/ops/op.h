#pragma once

#include <cstddef>
#include <cstdint>
#include <span>

#include "base/cpu_features.h"

namespace pelton {

// How every op is called. The work of one call is a number of independent *units*; any split of
// [0, units) over threads gives the same bits, because a unit's arithmetic does not depend on which
// units run beside it. `scratch` is 64-byte aligned memory of the calling thread, of at least the
// op's XScratchBytes(args); its content is undefined before and after.
template <typename Args>
using OpFn = void (*)(const Args& args, size_t begin, size_t end, std::byte* scratch) noexcept;

// One compiled implementation of an op and what the processor must have to run it.
template <typename Args>
struct OpImpl {
  const char* name;
  uint32_t required_features;  // CpuFeature bits
  OpFn<Args> run;
};

// The first (fastest) implementation that the permitted features allow. Requires: the last entry
// of `impls` requires nothing.
template <typename Args>
const OpImpl<Args>& ChooseImpl(std::span<const OpImpl<Args>> impls) {
  for (const OpImpl<Args>& impl : impls) {
    if ((impl.required_features & ~CpuFeatures()) == 0) return impl;
  }
  return impls.back();
}

}  // namespace pelton
