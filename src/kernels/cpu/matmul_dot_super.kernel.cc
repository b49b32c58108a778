#if defined(KERNEL_TILES)
#include "kernels/cpu/matmul_dot_tiles.h"
#else
#include "kernels/cpu/matmul_dot.h"
#endif

namespace pelton::cpu::KERNEL_ISA {

template void DotPanelPair<DType::kQ4_K>(const std::byte*, size_t, const DotRows&, float*, size_t,
                                         std::byte*) noexcept;
template void DotPanelPair<DType::kQ5_K>(const std::byte*, size_t, const DotRows&, float*, size_t,
                                         std::byte*) noexcept;
#if !defined(KERNEL_TILES)
template void DotPanelPair<DType::kQ2_K>(const std::byte*, size_t, const DotRows&, float*, size_t,
                                         std::byte*) noexcept;
template void DotPanelPair<DType::kQ3_K>(const std::byte*, size_t, const DotRows&, float*, size_t,
                                         std::byte*) noexcept;
template void DotPanelPair<DType::kQ6_K>(const std::byte*, size_t, const DotRows&, float*, size_t,
                                         std::byte*) noexcept;
#endif

}  // namespace pelton::cpu::KERNEL_ISA
