#pragma once

#include "kernels/cpu/simd/avx512.h"

// Kernels with AMX do everything but matrix products with AVX-512.
namespace pelton::cpu::amx {
using namespace avx512;  // NOLINT(google-build-using-namespace): the same vocabulary
}
