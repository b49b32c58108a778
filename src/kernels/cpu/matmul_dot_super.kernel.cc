#include "kernels/cpu/matmul_dot.h"

namespace pelton::cpu::KERNEL_ISA {

template void DotPanelPair<DType::kQ2_K>(const std::byte*, size_t, const DotRows&, float*, size_t,
                                         std::byte*) noexcept;
template void DotPanelPair<DType::kQ3_K>(const std::byte*, size_t, const DotRows&, float*, size_t,
                                         std::byte*) noexcept;
template void DotPanelPair<DType::kQ4_K>(const std::byte*, size_t, const DotRows&, float*, size_t,
                                         std::byte*) noexcept;
template void DotPanelPair<DType::kQ5_K>(const std::byte*, size_t, const DotRows&, float*, size_t,
                                         std::byte*) noexcept;
template void DotPanelPair<DType::kQ6_K>(const std::byte*, size_t, const DotRows&, float*, size_t,
                                         std::byte*) noexcept;

}  // namespace pelton::cpu::KERNEL_ISA
