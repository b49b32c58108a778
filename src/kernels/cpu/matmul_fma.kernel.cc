#include "kernels/cpu/matmul_fma.h"

namespace pelton::cpu::KERNEL_ISA {

template void FmaPanelPair<DType::kF32>(const std::byte*, size_t, const FmaRows&, float*, size_t,
                                        std::byte*) noexcept;
template void FmaPanelPair<DType::kF16>(const std::byte*, size_t, const FmaRows&, float*, size_t,
                                        std::byte*) noexcept;
template void FmaPanelPair<DType::kBF16>(const std::byte*, size_t, const FmaRows&, float*, size_t,
                                         std::byte*) noexcept;
template void FmaPanelPair<DType::kF8E4M3>(const std::byte*, size_t, const FmaRows&, float*, size_t,
                                           std::byte*) noexcept;
template void FmaPanelPair<DType::kQ4_0>(const std::byte*, size_t, const FmaRows&, float*, size_t,
                                         std::byte*) noexcept;
template void FmaPanelPair<DType::kQ4_1>(const std::byte*, size_t, const FmaRows&, float*, size_t,
                                         std::byte*) noexcept;
template void FmaPanelPair<DType::kQ5_0>(const std::byte*, size_t, const FmaRows&, float*, size_t,
                                         std::byte*) noexcept;
template void FmaPanelPair<DType::kQ5_1>(const std::byte*, size_t, const FmaRows&, float*, size_t,
                                         std::byte*) noexcept;
template void FmaPanelPair<DType::kQ8_0>(const std::byte*, size_t, const FmaRows&, float*, size_t,
                                         std::byte*) noexcept;
template void FmaPanelPair<DType::kIQ4_NL>(const std::byte*, size_t, const FmaRows&, float*, size_t,
                                           std::byte*) noexcept;
template void FmaPanelPair<DType::kMXFP4>(const std::byte*, size_t, const FmaRows&, float*, size_t,
                                          std::byte*) noexcept;
template void FmaPanelPair<DType::kQ2_K>(const std::byte*, size_t, const FmaRows&, float*, size_t,
                                         std::byte*) noexcept;
template void FmaPanelPair<DType::kQ3_K>(const std::byte*, size_t, const FmaRows&, float*, size_t,
                                         std::byte*) noexcept;
template void FmaPanelPair<DType::kQ4_K>(const std::byte*, size_t, const FmaRows&, float*, size_t,
                                         std::byte*) noexcept;
template void FmaPanelPair<DType::kQ5_K>(const std::byte*, size_t, const FmaRows&, float*, size_t,
                                         std::byte*) noexcept;
template void FmaPanelPair<DType::kQ6_K>(const std::byte*, size_t, const FmaRows&, float*, size_t,
                                         std::byte*) noexcept;
template void FmaPanelPair<DType::kW8>(const std::byte*, size_t, const FmaRows&, float*, size_t,
                                       std::byte*) noexcept;

}  // namespace pelton::cpu::KERNEL_ISA
