#pragma once

#include "base/cpu_features.h"

// Declares cpu::<isa>::Name and defines kNameImpls, the table of the kernel compiled per ISA. The
// avx512 objects are compiled with VNNI, which the compiler may use anywhere.
#define PELTON_ISA_IMPLS(Name)                                       \
  namespace cpu {                                                    \
  namespace generic {                                                \
  void Name(const Name##Args&, size_t, size_t, std::byte*) noexcept; \
  }                                                                  \
  namespace avx2 {                                                   \
  void Name(const Name##Args&, size_t, size_t, std::byte*) noexcept; \
  }                                                                  \
  namespace avx512 {                                                 \
  void Name(const Name##Args&, size_t, size_t, std::byte*) noexcept; \
  }                                                                  \
  }                                                                  \
  std::span<const OpImpl<Name##Args>> Name##Impls() {                \
    static constexpr OpImpl<Name##Args> kImpls[] = {                 \
        {"avx512", kCpuAvx512 | kCpuAvx512Vnni, cpu::avx512::Name},  \
        {"avx2", kCpuAvx2, cpu::avx2::Name},                         \
        {"generic", kCpuGeneric, cpu::generic::Name},                \
    };                                                               \
    return kImpls;                                                   \
  }                                                                  \
  static_assert(true, "takes the semicolon")
