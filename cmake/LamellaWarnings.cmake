# SPDX-License-Identifier: Apache-2.0
# lamella_target(NAME): warnings, sanitizers and include paths that every target of ours shares.
function(lamella_target name)
  target_compile_features(${name} PUBLIC cxx_std_20)
  target_compile_options(${name} PRIVATE
    -Wall -Wextra -Wconversion -Wshadow -Wnon-virtual-dtor -Wold-style-cast -Woverloaded-virtual
    -Wno-restrict  # GCC 12 reports it for every string literal + string
    $<$<BOOL:${CMAKE_UNITY_BUILD}>:-Wno-subobject-linkage>  # of an Impl: GCC takes every file but the first for a header there
    $<$<BOOL:${LAMELLA_WERROR}>:-Werror>)
  # What src/core/math.hpp counts on: loops over it vectorise, and give the same bits on every processor.
  target_compile_options(${name} PRIVATE $<$<COMPILE_LANGUAGE:CXX>:-ffp-contract=off;-fno-math-errno;-fno-trapping-math>)
  target_include_directories(${name} PUBLIC
    $<BUILD_INTERFACE:${PROJECT_SOURCE_DIR}/include> $<BUILD_INTERFACE:${PROJECT_BINARY_DIR}/include>
    PRIVATE ${PROJECT_SOURCE_DIR}/src)
  target_include_directories(${name} SYSTEM PRIVATE $<TARGET_PROPERTY:fmt::fmt-header-only,INTERFACE_INCLUDE_DIRECTORIES>)
  if(LAMELLA_SANITIZE)
    target_compile_options(${name} PRIVATE -fsanitize=${LAMELLA_SANITIZE} -fno-omit-frame-pointer -fno-sanitize-recover=all)
    target_link_options(${name} PRIVATE -fsanitize=${LAMELLA_SANITIZE})
  endif()
endfunction()
