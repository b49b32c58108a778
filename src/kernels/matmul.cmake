# Matrix products over packed weights, and their meaning in f64 for tests and benchmarks.
pelton_library(NAME kernels_matmul_reference LAYER kernels
  SRCS reference/matmul.cc reference/matmul_case.cc
  DEPS base kernels_weights)
pelton_library(NAME kernels_matmul LAYER kernels ONE_THREAD
  SRCS cpu/matmul.cc cpu/matmul_choices.cc
  DEPS base kernels_amx
  TESTS cpu/matmul_test.cc cpu/matmul_choices_test.cc
  TEST_DEPS kernels_matmul_reference kernels_weights base)
pelton_isa_kernels(kernels_matmul
  FILES cpu/matmul.kernel.cc cpu/matmul_dot_simple.kernel.cc cpu/matmul_dot_five.kernel.cc
        cpu/matmul_dot_super.kernel.cc cpu/matmul_by_row.kernel.cc cpu/matmul_fma.kernel.cc
  ISAS generic avx2 avx512)
pelton_isa_kernels(kernels_matmul
  FILES cpu/matmul.kernel.cc cpu/matmul_dot_simple.kernel.cc cpu/matmul_dot_five.kernel.cc
        cpu/matmul_dot_super.kernel.cc cpu/matmul_by_row.kernel.cc
  ISAS amx)
# The same source on emulated tiles, for tests on machines without AMX.
pelton_isa_kernels(kernels_matmul_test
  FILES cpu/matmul.kernel.cc cpu/matmul_dot_simple.kernel.cc cpu/matmul_dot_five.kernel.cc
        cpu/matmul_dot_super.kernel.cc cpu/matmul_by_row.kernel.cc
  ISAS amx_emulated amx_emulated_avx512)
