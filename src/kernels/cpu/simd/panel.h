#pragma once

// The panel vocabulary of the instruction set that this object is compiled for: 16 lanes, one per
// row of a panel of packed weights. All of them compute the same bits.
//
//   F32x16, I32x16   a lane per panel row
//   Quad             unsigned codes [16 rows][4 k], as stored in a panel
//   SignedQuad       4 consecutive int8 activations, the same for all rows
//   Dot<kWide>       acc[n] + sum_j code[n][j] * x[j], exactly. kWide: codes of 8 bits, less
//                    kWideBias; otherwise codes below 128. Activations lie in [-127, 127].
#if defined(__AVX512VNNI__)
#include "kernels/cpu/simd/panel_avx512.h"
#elif defined(__AVX2__)
#include "kernels/cpu/simd/panel_avx2.h"
#else
#include "kernels/cpu/simd/panel_generic.h"
#endif

// Before loops over registers, which must be unrolled for their arrays to be registers.
#if defined(__AVX2__)
#define PELTON_UNROLL _Pragma("GCC unroll 16")
#else
#define PELTON_UNROLL _Pragma("GCC unroll 1")
#endif
