# cmake -D OUT=page.cc -D FOLDER=folder -P embed.cmake
set(text "#include \"serving/web/page.h\"\n\nnamespace pelton {\nnamespace {\n\n")
set(functions "")
foreach(kind IN ITEMS Html Css Js)
  string(TOLOWER ${kind} extension)
  file(READ ${FOLDER}/page.${extension} bytes HEX)
  string(REGEX REPLACE "([0-9a-f][0-9a-f])" "0x\\1," bytes "${bytes}")
  string(APPEND text "constexpr unsigned char k${kind}[] = {${bytes}};\n")
  string(APPEND functions "std::string_view Page${kind}() {\n"
    "  return {reinterpret_cast<const char*>(k${kind}), sizeof(k${kind})};\n}\n")
endforeach()
file(WRITE ${OUT} "${text}\n}  // namespace\n\n${functions}\n}  // namespace pelton\n")
