# SPDX-License-Identifier: Apache-2.0
# The CUDA device, compiled unchanged, on the test double in tests/fake_cuda.
add_subdirectory(fake_cuda)
add_subdirectory(kernels)

get_property(cuda_sources GLOBAL PROPERTY LAMELLA_CUDA_SOURCES)
list(FILTER cuda_sources EXCLUDE REGEX "/plugin.cpp$")
add_library(lamella_cuda_on_fake STATIC ${cuda_sources} ${CMAKE_CURRENT_SOURCE_DIR}/cuda/fake_backend.cpp)
lamella_target(lamella_cuda_on_fake)
target_include_directories(lamella_cuda_on_fake PRIVATE ${PROJECT_SOURCE_DIR} ${CMAKE_CURRENT_SOURCE_DIR})
target_link_libraries(lamella_cuda_on_fake PUBLIC lamella_kernels_host lamella_fake_cuda)

foreach(source IN LISTS device_tests)
  get_filename_component(name ${source} NAME_WE)
  lamella_test(fake_${name} ${source} ${CMAKE_CURRENT_SOURCE_DIR}/cuda/fake_environment.cpp PREFIX "fake." LABELS fake DEVICE cuda:0 LINK lamella_cuda_on_fake)
endforeach()
file(GLOB tests CONFIGURE_DEPENDS ${CMAKE_CURRENT_SOURCE_DIR}/cuda/*_test.cpp)
foreach(source IN LISTS tests)
  get_filename_component(name ${source} NAME_WE)
  lamella_test(${name} ${source} PREFIX "fake." LABELS fake DEVICE cuda:0 LINK lamella_cuda_on_fake)
endforeach()
