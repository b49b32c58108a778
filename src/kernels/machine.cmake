# What the limits of a machine are measured with; the loops are compiled as kernels are.
pelton_library(NAME kernels_machine LAYER kernels
  SRCS machine/machine_limits.cc machine/peak_loops.cc
  DEPS base
  TESTS machine/machine_limits_test.cc)
pelton_isa_kernels(kernels_machine FILES machine/peak_loops.kernel.cc ISAS generic avx2 avx512 amx)
