# Row ops: norms, elementwise, rotary embedding and cache writes, token embedding,
# residual streams.
pelton_library(NAME kernels_rows LAYER kernels ONE_THREAD
  SRCS cpu/embedding.cc cpu/gather_rows.cc cpu/rope_table.cc cpu/rows.cc
       cpu/streams.cc
       reference/rotate.cc reference/rows.cc
  DEPS kernels_weights
  TESTS cpu/embedding_test.cc cpu/elementwise_test.cc cpu/layer_norm_test.cc
        cpu/rms_norm_test.cc cpu/rope_test.cc cpu/rotate_test.cc cpu/streams_test.cc)
pelton_isa_kernels(kernels_rows
  FILES cpu/elementwise.kernel.cc cpu/layer_norm.kernel.cc cpu/rms_norm.kernel.cc cpu/rope.kernel.cc
        cpu/rotate.kernel.cc cpu/streams.kernel.cc
  ISAS generic avx2 avx512)
