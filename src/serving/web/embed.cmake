# cmake -D OUT=page.cc -D FOLDER=folder -P embed.cmake
set(text "#include \"serving/web/page.h\"\n\nnamespace pelton {\nnamespace {\n\n")
set(functions "")
foreach(pair IN ITEMS Page.Html Page.Css Page.Js Live.Js)
  string(TOLOWER ${pair} file)
  string(REPLACE "." "" name ${pair})
  file(READ ${FOLDER}/${file} bytes HEX)
  string(REGEX REPLACE "([0-9a-f][0-9a-f])" "0x\\1," bytes "${bytes}")
  string(APPEND text "constexpr unsigned char k${name}[] = {${bytes}};\n")
  string(APPEND functions "std::string_view ${name}() {\n"
    "  return {reinterpret_cast<const char*>(k${name}), sizeof(k${name})};\n}\n")
endforeach()
file(WRITE ${OUT} "${text}\n}  // namespace\n\n${functions}\n}  // namespace pelton\n")
