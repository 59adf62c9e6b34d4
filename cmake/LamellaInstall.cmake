# SPDX-License-Identifier: Apache-2.0
# Headers, library, command, CMake package and pkg-config file. Nothing third-party is part of the interface.
include(CMakePackageConfigHelpers)

install(TARGETS lamella EXPORT lamellaTargets
  LIBRARY DESTINATION ${CMAKE_INSTALL_LIBDIR}
  INCLUDES DESTINATION ${CMAKE_INSTALL_INCLUDEDIR})
if(TARGET lamella_cuda)
  install(TARGETS lamella_cuda LIBRARY DESTINATION ${CMAKE_INSTALL_LIBDIR})
endif()
if(TARGET lamella_cli)
  set_target_properties(lamella_cli PROPERTIES INSTALL_RPATH "$ORIGIN/../${CMAKE_INSTALL_LIBDIR}")
  install(TARGETS lamella_cli RUNTIME DESTINATION ${CMAKE_INSTALL_BINDIR})
endif()
install(DIRECTORY include/lamella DESTINATION ${CMAKE_INSTALL_INCLUDEDIR} FILES_MATCHING PATTERN "*.hpp" PATTERN "*.def")

set(package_dir ${CMAKE_INSTALL_LIBDIR}/cmake/lamella)
install(EXPORT lamellaTargets NAMESPACE lamella:: DESTINATION ${package_dir})
configure_package_config_file(cmake/lamellaConfig.cmake.in ${PROJECT_BINARY_DIR}/lamellaConfig.cmake INSTALL_DESTINATION ${package_dir})
write_basic_package_version_file(${PROJECT_BINARY_DIR}/lamellaConfigVersion.cmake COMPATIBILITY SameMajorVersion)
install(FILES ${PROJECT_BINARY_DIR}/lamellaConfig.cmake ${PROJECT_BINARY_DIR}/lamellaConfigVersion.cmake DESTINATION ${package_dir})

configure_file(cmake/lamella.pc.in ${PROJECT_BINARY_DIR}/lamella.pc @ONLY)
install(FILES ${PROJECT_BINARY_DIR}/lamella.pc DESTINATION ${CMAKE_INSTALL_LIBDIR}/pkgconfig)
