# pelton_fuzz(NAME target SRCS target.cc DEPS ...) builds fuzz/<name> with libFuzzer (preset asan);
# elsewhere its objects, and those only when they are asked for, by the linter's run or by name.
# Seed inputs live in fuzz/corpus/<name>/, regressions in fuzz/regressions/<name>/.
function(pelton_fuzz)
  cmake_parse_arguments(A "" "NAME" "SRCS;DEPS;LIBS" ${ARGN})
  if(NOT PELTON_FUZZ)
    add_library(fuzz_${A_NAME} OBJECT EXCLUDE_FROM_ALL ${A_SRCS})
    target_link_libraries(fuzz_${A_NAME} PRIVATE ${A_DEPS} ${A_LIBS} pelton_options)
    return()
  endif()
  add_executable(fuzz_${A_NAME} ${A_SRCS})
  target_link_libraries(fuzz_${A_NAME} PRIVATE ${A_DEPS} ${A_LIBS} pelton_options)
  target_compile_options(fuzz_${A_NAME} PRIVATE -fsanitize=fuzzer-no-link)
  target_link_options(fuzz_${A_NAME} PRIVATE -fsanitize=fuzzer)
endfunction()
