# SPDX-License-Identifier: Apache-2.0
# weft_library(NAME SOURCES ... HEADERS ... [LINK ...] [PRIVATE_LINK ...])
#
# Makes the target weft_NAME with the alias weft::NAME. HEADERS are paths below include/ of the
# calling folder; they are installed, and every one must compile alone (weft_header_checks).
set(CMAKE_VERIFY_INTERFACE_HEADER_SETS ${WEFT_CHECK_HEADERS})

function(weft_library name)
  cmake_parse_arguments(arg "" "" "SOURCES;HEADERS;LINK;PRIVATE_LINK" ${ARGN})
  set(target weft_${name})
  if(arg_SOURCES)
    add_library(${target} STATIC ${arg_SOURCES})
    set(scope PUBLIC)
    target_compile_options(${target} PRIVATE ${WEFT_WARNINGS})
  else()
    add_library(${target} INTERFACE)
    set(scope INTERFACE)
  endif()
  add_library(weft::${name} ALIAS ${target})
  set_target_properties(${target} PROPERTIES EXPORT_NAME ${name} POSITION_INDEPENDENT_CODE ON)
  target_compile_features(${target} ${scope} cxx_std_20)
  list(TRANSFORM arg_HEADERS PREPEND "${CMAKE_CURRENT_SOURCE_DIR}/include/" OUTPUT_VARIABLE headers)
  target_sources(${target} ${scope} FILE_SET HEADERS
    BASE_DIRS "${CMAKE_CURRENT_SOURCE_DIR}/include" FILES ${headers})
  target_link_libraries(${target} ${scope} ${arg_LINK})
  if(arg_PRIVATE_LINK)
    target_link_libraries(${target} PRIVATE ${arg_PRIVATE_LINK})
  endif()
  set_property(GLOBAL APPEND PROPERTY WEFT_TARGETS ${target})
  set_property(GLOBAL APPEND PROPERTY WEFT_PUBLIC_HEADERS ${arg_HEADERS})
endfunction()

set(WEFT_WARNINGS -Wall -Wextra -Wpedantic -Wshadow -Wconversion -Wno-sign-conversion
    -Wnon-virtual-dtor -Woverloaded-virtual CACHE STRING "Warnings of weft's own code")

# weft_binary(NAME SOURCES ... LINK ...): a program of ours (command, example, benchmark, test helper).
function(weft_binary name)
  cmake_parse_arguments(arg "" "" "SOURCES;LINK" ${ARGN})
  add_executable(${name} ${arg_SOURCES})
  target_compile_options(${name} PRIVATE ${WEFT_WARNINGS})
  target_compile_features(${name} PRIVATE cxx_std_20)
  target_link_libraries(${name} PRIVATE ${arg_LINK})
endfunction()

# What parses slowest in most tests, parsed once. Every test links what gives these headers macros:
# gcc takes them only for a source that defines the same.
option(WEFT_PRECOMPILE_TEST_HEADERS "Parse GoogleTest's, gRPC's and Boost.JSON's headers once" OFF)
if(WEFT_PRECOMPILE_TEST_HEADERS)
  file(WRITE "${CMAKE_BINARY_DIR}/test_headers.cc" "")
  set(WEFT_TEST_HEADERS_LINK gRPC::grpc++ Boost::json Boost::fiber)
  weft_binary(weft_test_headers SOURCES "${CMAKE_BINARY_DIR}/test_headers.cc"
    LINK GTest::gmock GTest::gtest_main ${WEFT_TEST_HEADERS_LINK})
  set_target_properties(weft_test_headers PROPERTIES RUNTIME_OUTPUT_DIRECTORY "${CMAKE_BINARY_DIR}/tests")
  target_precompile_headers(weft_test_headers PRIVATE
    <gmock/gmock.h> <gtest/gtest.h> <grpcpp/grpcpp.h> <boost/json.hpp>)
endif()

set(WEFT_TEST_OPTIONS "" CACHE STRING "Further options of the compiler for the tests' own sources")

# weft_test(NAME SOURCES ... LINK ... [ENVIRONMENT ...]): a GoogleTest program; ctest runs it whole.
function(weft_test name)
  cmake_parse_arguments(arg "" "TIMEOUT" "SOURCES;LINK;ENVIRONMENT" ${ARGN})
  weft_binary(${name} SOURCES ${arg_SOURCES} LINK ${arg_LINK} GTest::gmock GTest::gtest_main)
  set_target_properties(${name} PROPERTIES RUNTIME_OUTPUT_DIRECTORY "${CMAKE_BINARY_DIR}/tests")
  target_compile_options(${name} PRIVATE ${WEFT_TEST_OPTIONS})
  if(WEFT_PRECOMPILE_TEST_HEADERS)
    target_link_libraries(${name} PRIVATE ${WEFT_TEST_HEADERS_LINK})
    target_precompile_headers(${name} REUSE_FROM weft_test_headers)
    target_compile_options(${name} PRIVATE -fpch-preprocess)  # for ccache
  endif()
  target_compile_definitions(${name} PRIVATE
    WEFT_SOURCE_DIR="${PROJECT_SOURCE_DIR}" WEFT_BINARY="${CMAKE_BINARY_DIR}/bin/weft")
  add_test(NAME ${name} COMMAND ${name})
  if(NOT arg_TIMEOUT)
    set(arg_TIMEOUT 300)  # a busy machine takes many times as long
  endif()
  set_tests_properties(${name} PROPERTIES TIMEOUT ${arg_TIMEOUT} ENVIRONMENT "${arg_ENVIRONMENT}")
endfunction()

# weft_proto(TARGET PROTOS ... IMPORT_DIR ...): messages and services of .proto files, generated in
# the build tree below PREFIX, so that they are included by their import path.
function(weft_proto target)
  cmake_parse_arguments(arg "" "IMPORT_DIR" "PROTOS" ${ARGN})
  set(out "${CMAKE_CURRENT_BINARY_DIR}/generated")
  file(MAKE_DIRECTORY "${out}")
  get_filename_component(import_dir "${arg_IMPORT_DIR}" ABSOLUTE)
  set(generated)
  foreach(proto IN LISTS arg_PROTOS)
    string(REGEX REPLACE "\\.proto$" "" stem "${proto}")
    set(files "${out}/${stem}.pb.cc" "${out}/${stem}.pb.h"
              "${out}/${stem}.grpc.pb.cc" "${out}/${stem}.grpc.pb.h")
    add_custom_command(
      OUTPUT ${files}
      COMMAND protobuf::protoc "--proto_path=${import_dir}" "--proto_path=${PROJECT_SOURCE_DIR}/proto"
              "--cpp_out=${out}" "--grpc_out=${out}"
              "--plugin=protoc-gen-grpc=$<TARGET_FILE:gRPC::grpc_cpp_plugin>" "${proto}"
      DEPENDS "${import_dir}/${proto}"
      COMMENT "Generating ${stem}"
      VERBATIM)
    list(APPEND generated ${files})
  endforeach()
  add_library(${target} STATIC ${generated})
  set_target_properties(${target} PROPERTIES POSITION_INDEPENDENT_CODE ON)
  target_compile_features(${target} PUBLIC cxx_std_20)
  target_include_directories(${target} SYSTEM PUBLIC "$<BUILD_INTERFACE:${out}>")
  target_link_libraries(${target} PUBLIC gRPC::grpc++ protobuf::libprotobuf)
endfunction()
