# What `cmake --install` and `cpack -G DEB` take: the binary, its man page and completions, the
# service, the licence, and, as the component "library", what C programs need. Manual and completions come from the binary's own table of options.
include(GNUInstallDirs)

set(package_docs "")
foreach(made IN ITEMS "man pelton.1" "bash pelton.bash" "zsh _pelton" "fish pelton.fish")
  separate_arguments(made)
  list(GET made 0 kind)
  list(GET made 1 name)
  set(file ${CMAKE_BINARY_DIR}/package/${name})
  add_custom_command(OUTPUT ${file}
    COMMAND ${CMAKE_COMMAND} -E make_directory ${CMAKE_BINARY_DIR}/package
    COMMAND sh -c "'$<TARGET_FILE:pelton>' completion ${kind} > '${file}'"
    DEPENDS pelton VERBATIM)
  list(APPEND package_docs ${file})
endforeach()
add_custom_target(package_docs ALL DEPENDS ${package_docs})

install(TARGETS pelton RUNTIME DESTINATION ${CMAKE_INSTALL_BINDIR})
install(FILES ${CMAKE_BINARY_DIR}/package/pelton.1 DESTINATION ${CMAKE_INSTALL_MANDIR}/man1)
install(FILES ${CMAKE_BINARY_DIR}/package/pelton.bash RENAME pelton
  DESTINATION ${CMAKE_INSTALL_DATADIR}/bash-completion/completions)
install(FILES ${CMAKE_BINARY_DIR}/package/_pelton
  DESTINATION ${CMAKE_INSTALL_DATADIR}/zsh/vendor-completions)
install(FILES ${CMAKE_BINARY_DIR}/package/pelton.fish
  DESTINATION ${CMAKE_INSTALL_DATADIR}/fish/vendor_completions.d)
install(FILES LICENSE RENAME copyright DESTINATION ${CMAKE_INSTALL_DATADIR}/doc/pelton)
install(FILES ${CMAKE_BINARY_DIR}/NOTICE.page DESTINATION ${CMAKE_INSTALL_DATADIR}/doc/pelton)
install(FILES deploy/systemd/pelton.service DESTINATION lib/systemd/system)

if(TARGET pelton_shared)
  file(RELATIVE_PATH include_from_libdir /${CMAKE_INSTALL_LIBDIR} /${CMAKE_INSTALL_INCLUDEDIR})
  configure_file(src/library/pelton.pc.in package/pelton.pc @ONLY)
  install(TARGETS pelton_shared LIBRARY DESTINATION ${CMAKE_INSTALL_LIBDIR} COMPONENT library)
  install(FILES include/pelton.h DESTINATION ${CMAKE_INSTALL_INCLUDEDIR} COMPONENT library)
  install(FILES ${CMAKE_BINARY_DIR}/package/pelton.pc
    DESTINATION ${CMAKE_INSTALL_LIBDIR}/pkgconfig COMPONENT library)
endif()

set(CPACK_GENERATOR DEB)
set(CPACK_PACKAGE_NAME pelton)
set(CPACK_PACKAGE_CONTACT "The Pelton maintainers <pelton@localhost>")
set(CPACK_PACKAGE_DESCRIPTION_SUMMARY "Runs language models, on the command line and as a server")
set(CPACK_PACKAGING_INSTALL_PREFIX /usr)
set(CPACK_STRIP_FILES ON)
set(CPACK_DEBIAN_FILE_NAME DEB-DEFAULT)
set(CPACK_DEBIAN_PACKAGE_SECTION science)
set(CPACK_DEBIAN_PACKAGE_SHLIBDEPS ON)
# Loaded only when a model is fetched.
set(CPACK_DEBIAN_PACKAGE_RECOMMENDS "libcurl4, ca-certificates")
include(CPack)
