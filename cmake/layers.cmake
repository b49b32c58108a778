# What each layer may see. tools/check_layers.py reads the same table for the includes.
# A layer may always depend on itself; inside a layer the folders form a DAG (CMake refuses cycles
# of unknown targets because every folder is declared after what it needs).
set(PELTON_LAYER_base     "")
set(PELTON_LAYER_kernels  base)
set(PELTON_LAYER_net      base)
set(PELTON_LAYER_text     base)
set(PELTON_LAYER_parallel kernels net base)
set(PELTON_LAYER_graph    parallel kernels base)
set(PELTON_LAYER_models   graph kernels base)
set(PELTON_LAYER_runtime  graph parallel text net kernels base)
set(PELTON_LAYER_quantize models graph runtime kernels base)
set(PELTON_LAYER_serving  runtime models text net graph kernels base)
set(PELTON_LAYER_cluster  serving runtime models text net graph kernels base)
set(PELTON_LAYER_library  serving runtime models text net graph kernels base)
set(PELTON_LAYER_apps     cluster serving quantize runtime models graph parallel text net kernels base)

# pelton_library(NAME layer_folder LAYER layer SRCS ... DEPS ... LIBS ... TESTS ... [ONE_THREAD])
# One static library per folder. DEPS are Pelton's own libraries and are checked against the table;
# LIBS are third-party targets, private to the library; TESTS become one binary, NAME_test.
# ONE_THREAD: the tests start no thread, which the test NAME_one_thread checks. The thread sanitizer
# could find nothing in them, so its build leaves them out; sources that belong to a test's binary
# need `if(TARGET NAME_test)` therefore.
function(pelton_library)
  cmake_parse_arguments(A "ONE_THREAD" "NAME;LAYER" "SRCS;DEPS;LIBS;TESTS;TEST_DEPS" ${ARGN})
  pelton_check_deps(${A_NAME} ${A_LAYER} ${A_DEPS})
  add_library(${A_NAME} STATIC ${A_SRCS})
  set_target_properties(${A_NAME} PROPERTIES PELTON_LAYER ${A_LAYER})
  target_link_libraries(${A_NAME} PUBLIC pelton_options ${A_DEPS} PRIVATE ${A_LIBS})
  if(A_ONE_THREAD AND PELTON_SANITIZE STREQUAL "thread")
    return()
  endif()
  if(A_TESTS)
    pelton_check_deps(${A_NAME}_test ${A_LAYER} ${A_TEST_DEPS})
    add_executable(${A_NAME}_test ${A_TESTS})
    target_link_libraries(${A_NAME}_test PRIVATE ${A_NAME} ${A_TEST_DEPS} ${A_LIBS} GTest::gtest_main)
    if(PELTON_SANITIZE MATCHES "address")
      # Optimising what the sanitizer adds to a test takes longer than the test runs.
      target_compile_options(${A_NAME}_test PRIVATE -O0)
    endif()
    add_test(NAME ${A_NAME}_test COMMAND ${A_NAME}_test WORKING_DIRECTORY ${CMAKE_SOURCE_DIR})
    # The run-time libraries of sanitizers start threads of their own, and a unity build links what no
    # test calls.
    if(A_ONE_THREAD AND NOT PELTON_SANITIZE AND NOT CMAKE_UNITY_BUILD)
      add_test(NAME ${A_NAME}_one_thread
        COMMAND ${CMAKE_SOURCE_DIR}/tools/check_one_thread.py $<TARGET_FILE:${A_NAME}_test>)
    endif()
  endif()
endfunction()

function(pelton_check_deps name layer)
  if(NOT DEFINED PELTON_LAYER_${layer})
    message(FATAL_ERROR "${name}: unknown layer '${layer}'")
  endif()
  foreach(dep IN LISTS ARGN)
    if(NOT TARGET ${dep})
      message(FATAL_ERROR "${name}: ${dep} is not declared before it")
    endif()
    get_target_property(dep_layer ${dep} PELTON_LAYER)
    if(NOT dep_layer STREQUAL layer AND NOT dep_layer IN_LIST PELTON_LAYER_${layer})
      message(FATAL_ERROR "${name} (layer ${layer}) may not depend on ${dep} (layer ${dep_layer})")
    endif()
  endforeach()
endfunction()

# pelton_embed(made.cc header.h Name=file...): a source in which the functions that the header
# declares give the bytes of the files; made anew when one of them changes.
function(pelton_embed out header)
  set(files "")
  set(paths "")
  foreach(pair IN LISTS ARGN)
    string(REGEX REPLACE "=.*" "" name "${pair}")
    string(REGEX REPLACE "^[^=]*=" "" path "${pair}")
    get_filename_component(path ${path} ABSOLUTE)
    list(APPEND files "${name}=${path}")
    list(APPEND paths ${path})
  endforeach()
  set(script ${CMAKE_SOURCE_DIR}/cmake/embed.cmake)
  add_custom_command(OUTPUT ${out}
    COMMAND ${CMAKE_COMMAND} -D OUT=${out} -D HEADER=${header} "-DFILES=${files}" -P ${script}
    DEPENDS ${paths} ${script} VERBATIM)
  # It is not there yet when CMake lists the files that a unity build joins.
  set_source_files_properties(${out} PROPERTIES SKIP_UNITY_BUILD_INCLUSION ON)
endfunction()
