# Matmul on AMX tiles. Its test runs the same source on emulated tiles, so that it is tested on
# machines without AMX; the packing of weights is part of what is tested.
pelton_library(NAME kernels_amx LAYER kernels ONE_THREAD
  SRCS cpu/matmul_amx.cc
  DEPS base kernels_weights
  TESTS cpu/matmul_amx_test.cc)
pelton_isa_kernels(kernels_amx FILES cpu/matmul_amx.kernel.cc ISAS amx)

set(PELTON_ISA_FLAGS_amx_emulated        ${PELTON_ISA_FLAGS_generic})
set(PELTON_ISA_FLAGS_amx_emulated_avx512 ${PELTON_ISA_FLAGS_avx512})
pelton_isa_kernels(kernels_amx_test FILES cpu/matmul_amx.kernel.cc
  ISAS amx_emulated amx_emulated_avx512)
