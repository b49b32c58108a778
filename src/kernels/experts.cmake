# Mixture of experts: routing, and matmuls of many matrices.
pelton_library(NAME kernels_experts LAYER kernels ONE_THREAD
  SRCS cpu/experts.cc cpu/route.cc reference/experts.cc
  DEPS base kernels_matmul kernels_weights
  TESTS cpu/experts_test.cc cpu/experts_w8_test.cc cpu/route_test.cc
  TEST_DEPS kernels_matmul_reference kernels_rows)
pelton_isa_kernels(kernels_experts
  FILES cpu/expert_sum.kernel.cc
  ISAS generic avx2 avx512)
