# Compiler settings shared by every target, as the interface library pelton_options.
set(PELTON_SANITIZE "" CACHE STRING "Value for -fsanitize=, empty for none")
option(PELTON_WERROR "Warnings are errors" OFF)
option(PELTON_THREAD_SAFETY "Clang thread-safety analysis" OFF)
option(PELTON_FUZZ "Build the libFuzzer targets (clang)" OFF)
option(PELTON_BENCH "Build the kernel benchmarks" OFF)

find_program(PELTON_CCACHE ccache)
if(PELTON_CCACHE)
  set(CMAKE_CXX_COMPILER_LAUNCHER ${PELTON_CCACHE})
endif()
find_program(PELTON_LLD NAMES ld.lld-19 ld.lld)

# What other people's sources that we build are compiled with, too. Fuzz targets share the build of
# the address sanitizer: its libraries count what they execute, its tests need not.
add_library(pelton_instrument INTERFACE)
if(PELTON_FUZZ)
  target_compile_options(pelton_instrument INTERFACE
    $<$<STREQUAL:$<TARGET_PROPERTY:TYPE>,STATIC_LIBRARY>:-fsanitize=fuzzer-no-link>)
endif()

# Where several sources are one translation unit (CMAKE_UNITY_BUILD), a local name would be told to
# shadow what another source keeps to itself, and g++ takes each source for a header, whose types
# should not use unnamed namespaces.
set(pelton_shadow_warnings -Wshadow)
if(CMAKE_UNITY_BUILD)
  set(pelton_shadow_warnings
    $<$<CXX_COMPILER_ID:GNU>:-Wshadow=local> $<$<CXX_COMPILER_ID:GNU>:-Wno-subobject-linkage>)
endif()

add_library(pelton_options INTERFACE)
target_link_libraries(pelton_options INTERFACE pelton_instrument)
target_compile_features(pelton_options INTERFACE cxx_std_20)
target_include_directories(pelton_options INTERFACE ${CMAKE_SOURCE_DIR}/src)
target_compile_options(pelton_options INTERFACE -Wall -Wextra -Wno-missing-field-initializers
  ${pelton_shadow_warnings}
  $<$<BOOL:${PELTON_WERROR}>:-Werror>
  $<$<BOOL:${PELTON_THREAD_SAFETY}>:-Wthread-safety>)
if(PELTON_SANITIZE)
  # Kernels know of no other thread: each call has units of its own, which their tests check. Watched
  # by the thread sanitizer they take ten times as long.
  set(pelton_watched 1)
  if(PELTON_SANITIZE STREQUAL "thread")
    set(pelton_watched $<NOT:$<BOOL:$<TARGET_PROPERTY:PELTON_IS_KERNELS>>>)
  endif()
  target_compile_options(pelton_instrument INTERFACE $<${pelton_watched}:-fsanitize=${PELTON_SANITIZE}>
    -fno-sanitize-recover=all -fno-omit-frame-pointer)
  target_link_options(pelton_instrument INTERFACE -fsanitize=${PELTON_SANITIZE})
  if(PELTON_SANITIZE STREQUAL "thread")
    # Tests that count allocations define operator new, and so does this run-time library (not
    # weakly, unlike that of the address sanitizer): the test's, which is linked first, counts.
    target_link_options(pelton_options INTERFACE -Wl,-z,muldefs)
    # Neither compiler's sanitizer knows fences, but only g++ says so; Boost.Asio has one behind each
    # handler, which orders nothing that a lock does not.
    target_compile_options(pelton_instrument INTERFACE $<$<CXX_COMPILER_ID:GNU>:-Wno-tsan>)
  endif()
endif()
if(PELTON_LLD AND CMAKE_CXX_COMPILER_ID STREQUAL "Clang")
  target_link_options(pelton_options INTERFACE --ld-path=${PELTON_LLD})
endif()
