# SPDX-License-Identifier: Apache-2.0
# find_package(weft) and pkg-config for what weft_library() made, the weft command and its helpers.
include(CMakePackageConfigHelpers)

get_property(weft_targets GLOBAL PROPERTY WEFT_TARGETS)
foreach(target IN LISTS weft_targets)
  get_target_property(header_sets ${target} INTERFACE_HEADER_SETS)
  if(header_sets)
    install(TARGETS ${target} EXPORT weftTargets FILE_SET HEADERS)
  else()
    install(TARGETS ${target} EXPORT weftTargets)
  endif()
endforeach()
install(DIRECTORY "${PROJECT_BINARY_DIR}/proto/generated/" TYPE INCLUDE
        FILES_MATCHING PATTERN "*.pb.h")
install(DIRECTORY "${PROJECT_SOURCE_DIR}/proto/weft" DESTINATION "${CMAKE_INSTALL_DATADIR}/weft/proto"
        FILES_MATCHING PATTERN "*.proto")
if(TARGET weft)
  install(TARGETS weft RUNTIME)
endif()

set(weft_package_dir "${CMAKE_INSTALL_LIBDIR}/cmake/weft")
install(EXPORT weftTargets NAMESPACE weft:: DESTINATION "${weft_package_dir}")
configure_package_config_file("${CMAKE_CURRENT_LIST_DIR}/weftConfig.cmake.in"
  "${PROJECT_BINARY_DIR}/weftConfig.cmake" INSTALL_DESTINATION "${weft_package_dir}")
# Before 1.0 a minor version may break the ABI.
write_basic_package_version_file("${PROJECT_BINARY_DIR}/weftConfigVersion.cmake"
  COMPATIBILITY SameMinorVersion)
install(FILES "${PROJECT_BINARY_DIR}/weftConfig.cmake" "${PROJECT_BINARY_DIR}/weftConfigVersion.cmake"
        DESTINATION "${weft_package_dir}")

configure_file("${CMAKE_CURRENT_LIST_DIR}/weft.pc.in" "${PROJECT_BINARY_DIR}/weft.pc" @ONLY)
install(FILES "${PROJECT_BINARY_DIR}/weft.pc" DESTINATION "${CMAKE_INSTALL_LIBDIR}/pkgconfig")
