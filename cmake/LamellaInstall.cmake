# SPDX-License-Identifier: Apache-2.0
# Headers, library, command, pages, CMake package and pkg-config file, in the components library, development, command and cuda.
# Nothing third-party is part of the interface.
include(CMakePackageConfigHelpers)

install(TARGETS lamella EXPORT lamellaTargets
  LIBRARY DESTINATION ${CMAKE_INSTALL_LIBDIR} COMPONENT library NAMELINK_COMPONENT development
  ARCHIVE DESTINATION ${CMAKE_INSTALL_LIBDIR} COMPONENT development
  INCLUDES DESTINATION ${CMAKE_INSTALL_INCLUDEDIR})
if(TARGET lamella_cuda)
  install(TARGETS lamella_cuda LIBRARY DESTINATION ${CMAKE_INSTALL_LIBDIR} COMPONENT cuda)
endif()
if(TARGET lamella_cli)
  set_target_properties(lamella_cli PROPERTIES INSTALL_RPATH "$ORIGIN/../${CMAKE_INSTALL_LIBDIR}")
  install(TARGETS lamella_cli RUNTIME DESTINATION ${CMAKE_INSTALL_BINDIR} COMPONENT command)
  if(NOT CMAKE_CROSSCOMPILING AND NOT LAMELLA_SANITIZE)  # the command itself generates them
    set(pages bash zsh fish man)
    set(folders bash-completion/completions zsh/site-functions fish/vendor_completions.d man/man1)
    set(names lamella _lamella lamella.fish lamella.1)
    foreach(page folder name IN ZIP_LISTS pages folders names)
      set(made ${PROJECT_BINARY_DIR}/share/${page}/${name})
      add_custom_command(OUTPUT ${made} COMMAND ${CMAKE_COMMAND} -E make_directory ${PROJECT_BINARY_DIR}/share/${page}
        COMMAND lamella_cli completion ${page} > ${made} DEPENDS lamella_cli VERBATIM)
      list(APPEND LAMELLA_PAGES ${made})
      install(FILES ${made} DESTINATION ${CMAKE_INSTALL_DATADIR}/${folder} COMPONENT command)
    endforeach()
    add_custom_target(lamella_pages ALL DEPENDS ${LAMELLA_PAGES})
  endif()
endif()
install(DIRECTORY include/lamella DESTINATION ${CMAKE_INSTALL_INCLUDEDIR} COMPONENT development
  FILES_MATCHING PATTERN "*.hpp" PATTERN "*.h" PATTERN "*.def")
install(FILES ${PROJECT_BINARY_DIR}/include/lamella/version.hpp DESTINATION ${CMAKE_INSTALL_INCLUDEDIR}/lamella COMPONENT development)
install(FILES LICENSE DESTINATION ${CMAKE_INSTALL_DOCDIR} COMPONENT library)
install(FILES README.md CHANGELOG.md CONTRIBUTING.md DESTINATION ${CMAKE_INSTALL_DOCDIR} COMPONENT development)
install(DIRECTORY docs DESTINATION ${CMAKE_INSTALL_DOCDIR} COMPONENT development FILES_MATCHING PATTERN "*.md" PATTERN "*.svg")

set(package_dir ${CMAKE_INSTALL_LIBDIR}/cmake/lamella)
install(EXPORT lamellaTargets NAMESPACE lamella:: DESTINATION ${package_dir} COMPONENT development)
configure_package_config_file(cmake/lamellaConfig.cmake.in ${PROJECT_BINARY_DIR}/lamellaConfig.cmake INSTALL_DESTINATION ${package_dir})
write_basic_package_version_file(${PROJECT_BINARY_DIR}/lamellaConfigVersion.cmake COMPATIBILITY SameMajorVersion)
install(FILES ${PROJECT_BINARY_DIR}/lamellaConfig.cmake ${PROJECT_BINARY_DIR}/lamellaConfigVersion.cmake DESTINATION ${package_dir}
  COMPONENT development)
# What a static library leaves to the program that is linked with it.
set(LAMELLA_PC_LIBS)
if(NOT LAMELLA_SHARED)
  install(FILES cmake/FindoneDNN.cmake DESTINATION ${package_dir} COMPONENT development)
  set(LAMELLA_PC_LIBS "-ldnnl -lz ${OpenMP_CXX_FLAGS} -lpthread -ldl -lstdc++ -lm")
endif()

# Relative to the file, so that an installed tree can be moved.
set(LAMELLA_PC_LIBDIR "\${prefix}/${CMAKE_INSTALL_LIBDIR}")
set(LAMELLA_PC_INCLUDEDIR "\${prefix}/${CMAKE_INSTALL_INCLUDEDIR}")
if(IS_ABSOLUTE "${CMAKE_INSTALL_LIBDIR}" OR IS_ABSOLUTE "${CMAKE_INSTALL_INCLUDEDIR}")
  set(LAMELLA_PC_PREFIX "${CMAKE_INSTALL_PREFIX}")
  set(LAMELLA_PC_LIBDIR "${CMAKE_INSTALL_FULL_LIBDIR}")
  set(LAMELLA_PC_INCLUDEDIR "${CMAKE_INSTALL_FULL_INCLUDEDIR}")
else()
  file(RELATIVE_PATH up "/p/${CMAKE_INSTALL_LIBDIR}/pkgconfig" "/p")
  string(REGEX REPLACE "/$" "" up "${up}")
  set(LAMELLA_PC_PREFIX "\${pcfiledir}/${up}")
endif()
configure_file(cmake/lamella.pc.in ${PROJECT_BINARY_DIR}/lamella.pc @ONLY)
install(FILES ${PROJECT_BINARY_DIR}/lamella.pc DESTINATION ${CMAKE_INSTALL_LIBDIR}/pkgconfig COMPONENT development)
