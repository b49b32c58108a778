# pelton_fuzz(NAME target SRCS target.cc DEPS ...) builds fuzz/<name> with libFuzzer (preset fuzz);
# elsewhere nothing. Seed inputs live in fuzz/corpus/<name>/, regressions in fuzz/regressions/<name>/.
function(pelton_fuzz)
  cmake_parse_arguments(A "" "NAME" "SRCS;DEPS;LIBS" ${ARGN})
  if(NOT PELTON_FUZZ)
    return()
  endif()
  add_executable(fuzz_${A_NAME} ${A_SRCS})
  target_link_libraries(fuzz_${A_NAME} PRIVATE ${A_DEPS} ${A_LIBS} pelton_options)
  target_link_options(fuzz_${A_NAME} PRIVATE -fsanitize=fuzzer)
endfunction()
