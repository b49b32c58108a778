# Attention over the paged cache, fused, as separate ops and expanded, the indexer of sparse attention,
# and compressed entries.
pelton_library(NAME kernels_attention LAYER kernels ONE_THREAD
  SRCS cpu/attention.cc cpu/attention_split.cc cpu/compressed.cc cpu/expanded_attention.cc
       cpu/indexer.cc reference/attention.cc reference/compressed.cc reference/indexer.cc
  DEPS base kernels_matmul
  TESTS cpu/attention_test.cc cpu/attention_split_test.cc cpu/attention_plain_test.cc
        cpu/latent_attention_test.cc cpu/expanded_attention_test.cc cpu/indexer_test.cc
        cpu/compressed_test.cc cpu/fp8_cache_test.cc
  TEST_DEPS kernels_rows)
pelton_isa_kernels(kernels_attention
  FILES cpu/attention.kernel.cc cpu/attention_plain.kernel.cc cpu/compressed.kernel.cc
        cpu/indexer.kernel.cc
  ISAS generic avx2 avx512)
pelton_isa_kernels(kernels_attention FILES cpu/attention_amx.kernel.cc ISAS amx)
# The same source on emulated tiles, for tests on machines without AMX.
pelton_isa_kernels(kernels_attention_test FILES cpu/attention_amx.kernel.cc
  ISAS amx_emulated amx_emulated_avx512)
