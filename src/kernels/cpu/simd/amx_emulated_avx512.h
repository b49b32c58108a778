#pragma once

#include "kernels/cpu/simd/avx512.h"

namespace pelton::cpu::amx_emulated_avx512 {
using namespace avx512;  // NOLINT(google-build-using-namespace): the same vocabulary
}
