#pragma once

#include "kernels/ops/matmul.h"

// The vector implementations of matmul; each can run on processors that have its features.
namespace pelton::cpu {

namespace generic {
void RunMatmul(const MatmulArgs& args, size_t begin, size_t end, std::byte* scratch) noexcept;
}
namespace avx2 {
void RunMatmul(const MatmulArgs& args, size_t begin, size_t end, std::byte* scratch) noexcept;
}
namespace avx512 {
void RunMatmul(const MatmulArgs& args, size_t begin, size_t end, std::byte* scratch) noexcept;
// With weights that are decoded once for many rows of 8 bits.
void RunMatmulDecodeOnce(const MatmulArgs& args, size_t begin, size_t end,
                         std::byte* scratch) noexcept;
}  // namespace avx512
// With the integer dot products of AMX; activations of 8 bits only.
namespace amx {
void RunMatmul(const MatmulArgs& args, size_t begin, size_t end, std::byte* scratch) noexcept;
}
// The same on emulated tiles; only tests link them.
namespace amx_emulated {
void RunMatmul(const MatmulArgs& args, size_t begin, size_t end, std::byte* scratch) noexcept;
}
namespace amx_emulated_avx512 {
void RunMatmul(const MatmulArgs& args, size_t begin, size_t end, std::byte* scratch) noexcept;
}

}  // namespace pelton::cpu
