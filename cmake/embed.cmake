# cmake -D OUT=made.cc -D HEADER=declares/them.h -D FILES="Name=path;..." -P embed.cmake
# Writes functions `std::string_view Name()` that give the bytes of the files.
set(text "#include \"${HEADER}\"\n\nnamespace pelton {\nnamespace {\n\n")
set(functions "")
foreach(pair IN LISTS FILES)
  string(REGEX REPLACE "=.*" "" name "${pair}")
  string(REGEX REPLACE "^[^=]*=" "" path "${pair}")
  file(READ ${path} bytes HEX)
  string(REGEX REPLACE "([0-9a-f][0-9a-f])" "0x\\1," bytes "${bytes}")
  string(APPEND text "constexpr unsigned char k${name}[] = {${bytes}};\n")
  string(APPEND functions "std::string_view ${name}() {\n"
    "  return {reinterpret_cast<const char*>(k${name}), sizeof(k${name})};\n}\n")
endforeach()
file(WRITE ${OUT} "${text}\n}  // namespace\n\n${functions}\n}  // namespace pelton\n")
