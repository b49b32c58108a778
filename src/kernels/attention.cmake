# Attention over the paged cache, fused and as separate ops.
pelton_library(NAME kernels_attention LAYER kernels
  SRCS cpu/attention.cc reference/attention.cc
  DEPS base
  TESTS cpu/attention_test.cc cpu/attention_plain_test.cc
  TEST_DEPS kernels_rows)
pelton_isa_kernels(kernels_attention
  FILES cpu/attention.kernel.cc cpu/attention_plain.kernel.cc
  ISAS generic avx2 avx512)
pelton_isa_kernels(kernels_attention FILES cpu/attention_amx.kernel.cc ISAS amx)
# The same source on emulated tiles, for tests on machines without AMX.
pelton_isa_kernels(kernels_attention_test FILES cpu/attention_amx.kernel.cc
  ISAS amx_emulated amx_emulated_avx512)
