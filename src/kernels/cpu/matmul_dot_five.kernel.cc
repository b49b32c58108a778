#if defined(KERNEL_TILES)
#include "kernels/cpu/matmul_dot_tiles.h"
#else
#include "kernels/cpu/matmul_dot.h"
#endif

namespace pelton::cpu::KERNEL_ISA {

template void DotPanelPair<DType::kQ5_0>(const std::byte*, size_t, const DotRows&, float*, size_t,
                                         std::byte*) noexcept;
template void DotPanelPair<DType::kQ5_1>(const std::byte*, size_t, const DotRows&, float*, size_t,
                                         std::byte*) noexcept;
template void DotPanelPair<DType::kIQ4_NL>(const std::byte*, size_t, const DotRows&, float*, size_t,
                                           std::byte*) noexcept;
template void DotPanelPair<DType::kMXFP4>(const std::byte*, size_t, const DotRows&, float*, size_t,
                                          std::byte*) noexcept;

}  // namespace pelton::cpu::KERNEL_ISA
