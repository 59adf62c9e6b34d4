# SPDX-License-Identifier: Apache-2.0
# lamella_target(NAME): the warnings, sanitizers and include paths that all of lamella's targets share.
function(lamella_target name)
  target_compile_features(${name} PUBLIC cxx_std_20)
  target_compile_options(${name} PRIVATE
    -Wall -Wextra -Wconversion -Wshadow -Wnon-virtual-dtor -Wold-style-cast -Woverloaded-virtual
    -Wno-restrict  # GCC 12 reports it for every string literal + string
    $<$<BOOL:${CMAKE_UNITY_BUILD}>:-Wno-subobject-linkage>  # for an Impl: in a unity build GCC treats every file except the first as a header
    $<$<BOOL:${LAMELLA_WERROR}>:-Werror>)
  # src/core/math.hpp relies on these: loops over it vectorise, and give the same bits on every processor.
  target_compile_options(${name} PRIVATE $<$<COMPILE_LANGUAGE:CXX>:-ffp-contract=off;-fno-math-errno;-fno-trapping-math>)
  target_include_directories(${name} PUBLIC
    $<BUILD_INTERFACE:${PROJECT_SOURCE_DIR}/include> $<BUILD_INTERFACE:${PROJECT_BINARY_DIR}/include>
    PRIVATE ${PROJECT_SOURCE_DIR}/src)
  target_include_directories(${name} SYSTEM PRIVATE $<TARGET_PROPERTY:fmt::fmt-header-only,INTERFACE_INCLUDE_DIRECTORIES>)
  if(LAMELLA_SANITIZE)  # GCC's instrumented code draws false reports of uninitialized values, which the manual of -fsanitize expects
    target_compile_options(${name} PRIVATE -Wno-maybe-uninitialized -fsanitize=${LAMELLA_SANITIZE} -fno-omit-frame-pointer -fno-sanitize-recover=all)
    target_link_options(${name} PRIVATE -fsanitize=${LAMELLA_SANITIZE})
  endif()
endfunction()
