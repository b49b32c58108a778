# What the limits of a machine are measured with; the loops are compiled as kernels are.
pelton_library(NAME kernels_machine LAYER kernels
  SRCS machine/machine_limits.cc machine/peak_loops.cc
  DEPS base
  TESTS machine/machine_limits_test.cc)
pelton_isa_kernels(kernels_machine FILES machine/peak_loops.kernel.cc ISAS generic avx2 avx512 amx)
# Which of the implementations that give the same bits is the fastest here.
pelton_library(NAME kernels_tune LAYER kernels
  SRCS machine/tune_matmul.cc
  DEPS base kernels_matmul kernels_weights
  TESTS machine/tune_matmul_test.cc)
