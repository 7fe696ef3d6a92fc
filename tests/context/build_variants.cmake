# SPDX-License-Identifier: Apache-2.0
# The store and its stress as a shared library, with link-time optimisation, and by clang: each has
# its own way of keeping the address of a thread-local variable across a wait.
set(stress_sources fiber_stress_test.cc migration_test.cc)
get_target_property(context_sources weft_context SOURCES)
get_target_property(context_dir weft_context SOURCE_DIR)
list(FILTER context_sources INCLUDE REGEX "\\.cc$")
list(TRANSFORM context_sources PREPEND "${context_dir}/")
set(context_includes "${context_dir}/include" "${context_dir}/src")

# All of it in the library: what is linked into a program may use shorter ways to its variables.
add_library(context_stress_shared SHARED ${context_sources} ${stress_sources})
target_compile_options(context_stress_shared PRIVATE -O2)
target_include_directories(context_stress_shared PRIVATE ${context_includes})
target_compile_features(context_stress_shared PRIVATE cxx_std_20)
target_link_libraries(context_stress_shared PRIVATE Boost::fiber Boost::context GTest::gtest)
weft_test(context_shared_library_test SOURCES shared_library_main.cc
  LINK -Wl,--no-as-needed context_stress_shared)

weft_test(context_lto_test SOURCES ${context_sources} ${stress_sources}
  LINK Boost::fiber Boost::context Threads::Threads)
target_compile_options(context_lto_test PRIVATE -O3 -flto=auto)
set_target_properties(context_lto_test PROPERTIES DISABLE_PRECOMPILE_HEADERS ON)  # of -O0
target_include_directories(context_lto_test PRIVATE ${context_includes})
target_link_options(context_lto_test PRIVATE -O3 -flto=auto)

find_program(WEFT_CLANG NAMES clang++ clang++-14)
if(WEFT_CLANG)
  set(clang_test "${CMAKE_BINARY_DIR}/tests/context_clang_test")
  get_target_property(context_headers weft_context HEADER_SET)
  list(TRANSFORM context_includes PREPEND -I)
  add_custom_command(OUTPUT "${clang_test}"
    COMMAND "${WEFT_CLANG}" -std=c++20 -O3 -g1 -fPIC -pthread ${context_includes}
            ${context_sources} ${stress_sources} -o "${clang_test}"
            -lgtest_main -lgtest "$<TARGET_FILE:Boost::fiber>" "$<TARGET_FILE:Boost::context>"
    DEPENDS weft_context ${context_sources} ${context_headers} ${stress_sources}
            by_priority.h counted_id.h fiber_stress.h
    WORKING_DIRECTORY "${CMAKE_CURRENT_SOURCE_DIR}"
    COMMENT "Building tests/context_clang_test"
    VERBATIM)
  add_custom_target(context_clang_test ALL DEPENDS "${clang_test}")
  add_test(NAME context_clang_test COMMAND "${clang_test}")
else()
  add_test(NAME context_clang_test COMMAND sh -c
    "echo 'clang++ is missing: tools/bootstrap --tests installs it' >&2; exit 1")
endif()
set_tests_properties(context_shared_library_test context_lto_test context_clang_test
  PROPERTIES LABELS fibers TIMEOUT 120)
