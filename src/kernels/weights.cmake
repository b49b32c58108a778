# Stored weights: their decoding, and packing into panels.
pelton_library(NAME kernels_weights LAYER kernels ONE_THREAD
  SRCS cpu/pack.cc cpu/pack_by_row.cc reference/decode.cc
  DEPS base
  TESTS cpu/pack_test.cc reference/decode_test.cc)
# The stored formats define their values with separate roundings of product and sum.
set_source_files_properties(reference/decode.cc PROPERTIES COMPILE_OPTIONS -ffp-contract=off)
