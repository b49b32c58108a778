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
}

}  // namespace pelton::cpu
