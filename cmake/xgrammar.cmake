# XGrammar as a static library, from the sources that tools/deps unpacks; one copy serves every
# preset. Its own CMakeLists.txt is not used, which sets -Werror, -flto and -O3 whatever the preset.
# Its warnings are not ours to mend.
set(xgrammar_folder ${CMAKE_SOURCE_DIR}/build/deps/xgrammar)
execute_process(COMMAND ${CMAKE_SOURCE_DIR}/tools/deps COMMAND_ERROR_IS_FATAL ANY)
file(GLOB_RECURSE xgrammar_sources ${xgrammar_folder}/cpp/*.cc)
list(FILTER xgrammar_sources EXCLUDE REGEX "/cpp/tvm_ffi/")
add_library(xgrammar STATIC ${xgrammar_sources})
target_include_directories(xgrammar SYSTEM PUBLIC ${xgrammar_folder}/include
  ${xgrammar_folder}/3rdparty/dlpack/include PRIVATE ${xgrammar_folder}/3rdparty/picojson)
# It repeats names of other sources, which a unity build would join it with.
set_source_files_properties(${xgrammar_folder}/cpp/json_schema_converter.cc PROPERTIES
  SKIP_UNITY_BUILD_INCLUSION ON)
target_compile_features(xgrammar PRIVATE cxx_std_17)
target_compile_definitions(xgrammar PRIVATE XGRAMMAR_ENABLE_CPPTRACE=0
  XGRAMMAR_ENABLE_INTERNAL_CHECK=0 XGRAMMAR_LOG_CUSTOMIZE=1)
target_compile_options(xgrammar PRIVATE -w)
target_link_libraries(xgrammar PUBLIC Threads::Threads pelton_instrument)
