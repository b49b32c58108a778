# pelton_isa_kernels(target FILES a.kernel.cc ... ISAS generic avx2 avx512 amx)
# Compiles each file once per ISA, in its own namespace pelton::cpu::<isa>, then checks that no
# object exports a symbol outside that namespace: an exported std:: template compiled with wide
# instructions could be linked into code that runs on processors without them.
set(PELTON_ISA_FLAGS_generic "")
set(PELTON_ISA_FLAGS_avx2   -mavx2 -mfma -mf16c)
set(PELTON_ISA_FLAGS_avx512 -mavx512f -mavx512bw -mavx512vl -mavx512dq -mavx512vnni -mfma -mf16c
                            -mprefer-vector-width=512)
set(PELTON_ISA_FLAGS_amx    ${PELTON_ISA_FLAGS_avx512} -mavx512bf16 -mamx-tile -mamx-int8 -mamx-bf16)

function(pelton_isa_kernels target)
  if(NOT TARGET ${target})  # a test that this build leaves out
    return()
  endif()
  cmake_parse_arguments(A "" "" "FILES;ISAS" ${ARGN})
  foreach(isa IN LISTS A_ISAS)
    list(GET A_FILES 0 first)
    get_filename_component(stem ${first} NAME_WE)
    set(obj ${target}_${stem}_${isa})
    add_library(${obj} OBJECT ${A_FILES})
    # Few, large, and alike in their names, and not watched by the thread sanitizer (options.cmake).
    set_target_properties(${obj} PROPERTIES UNITY_BUILD OFF PELTON_IS_KERNELS ON)
    target_link_libraries(${obj} PRIVATE pelton_options)
    # Kernels are optimised in every build type. One arithmetic serves every row count, so
    # contraction of a*b+c is never left to the compiler. GCC 12's AVX-512 headers trip
    # -Wmaybe-uninitialized and -Wuninitialized (GCC bug 105593).
    target_compile_options(${obj} PRIVATE ${PELTON_ISA_FLAGS_${isa}} -O3 -fno-exceptions
      -ffp-contract=off -fno-math-errno "$<$<CXX_COMPILER_ID:GNU>:-Wno-maybe-uninitialized;-Wno-uninitialized>")
    target_compile_definitions(${obj} PRIVATE KERNEL_ISA=${isa}
      KERNEL_SIMD_HEADER="kernels/cpu/simd/${isa}.h")
    if(isa MATCHES "^amx")  # matrix products on tiles, the processor's or emulated ones
      target_compile_definitions(${obj} PRIVATE KERNEL_TILES)
    endif()
    target_sources(${target} PRIVATE $<TARGET_OBJECTS:${obj}>)
    if(NOT PELTON_SANITIZE AND NOT PELTON_FUZZ)  # both add symbols of their own
      add_test(NAME isa_symbols_${obj}
        COMMAND ${CMAKE_SOURCE_DIR}/tools/check_isa_symbols.py ${isa} $<TARGET_OBJECTS:${obj}>
        COMMAND_EXPAND_LISTS)
    endif()
  endforeach()
endfunction()
