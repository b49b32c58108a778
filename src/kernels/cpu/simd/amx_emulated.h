#pragma once

#include "kernels/cpu/simd/generic.h"

namespace pelton::cpu::amx_emulated {
using namespace generic;  // NOLINT(google-build-using-namespace): the same vocabulary
}
