# SPDX-License-Identifier: Apache-2.0
# The CUDA device, compiled unchanged, on the test double in tests/fake_cuda.
add_subdirectory(fake_cuda)

get_property(cuda_sources GLOBAL PROPERTY LAMELLA_CUDA_SOURCES)
set(fake_cudnn)
if("${cuda_sources}" MATCHES "cudnn_library.cpp")
  set(fake_cudnn ${CMAKE_CURRENT_SOURCE_DIR}/cuda/fake_cudnn_library.cpp)
  list(FILTER cuda_sources EXCLUDE REGEX "cudnn_library.cpp$")
endif()
list(FILTER cuda_sources EXCLUDE REGEX "/plugin.cpp$")
add_library(lamella_cuda_sources_on_fake OBJECT ${cuda_sources} ${fake_cudnn})
lamella_target(lamella_cuda_sources_on_fake)
target_include_directories(lamella_cuda_sources_on_fake PRIVATE ${PROJECT_SOURCE_DIR} ${CMAKE_CURRENT_SOURCE_DIR})
target_link_libraries(lamella_cuda_sources_on_fake PRIVATE lamella_kernels_ptx lamella_fake_cuda)
add_library(lamella_cuda_on_fake STATIC $<TARGET_OBJECTS:lamella_cuda_sources_on_fake> ${CMAKE_CURRENT_SOURCE_DIR}/cuda/fake_backend.cpp)
lamella_target(lamella_cuda_on_fake)
target_include_directories(lamella_cuda_on_fake PRIVATE ${PROJECT_SOURCE_DIR} ${CMAKE_CURRENT_SOURCE_DIR})
target_link_libraries(lamella_cuda_on_fake PUBLIC lamella_kernels_ptx lamella_fake_cuda)

function(lamella_fake_test name)
  lamella_test(fake_${name} ${CMAKE_CURRENT_SOURCE_DIR}/cuda/fake_environment.cpp PREFIX "fake." LABELS fake DEVICE cuda ${ARGN})
endfunction()
foreach(name IN LISTS device_test_names)
  lamella_fake_test(${name} LINK ${name}_objects lamella_cuda_on_fake)
endforeach()
lamella_fake_test(session_test ${session_tests} LINK lamella_cuda_on_fake)
lamella_fake_test(weights_on_streams_test ${CMAKE_CURRENT_SOURCE_DIR}/sessions/weights_on_streams_test.cpp LINK lamella_cuda_on_fake)
# Again with the inexactness that real libraries may have: activations that differ from Keras', other algorithms, failing heuristics. What that
# changes is which engines refuse, for which a sanitizer need not run everything twice.
foreach(name ${device_test_names} session_test weights_on_streams_test)
  if(TARGET fake_${name} AND NOT LAMELLA_SANITIZE)
    add_test(NAME fake.Strict.${name} COMMAND fake_${name} --gtest_brief=1)
    set_tests_properties(fake.Strict.${name} PROPERTIES LABELS fake TIMEOUT 600 ENVIRONMENT LAMELLA_FAKE_CUDA=strict)
  endif()
endforeach()
file(GLOB tests CONFIGURE_DEPENDS ${CMAKE_CURRENT_SOURCE_DIR}/cuda/*_test.cpp)
if(LAMELLA_SANITIZE MATCHES thread)  # its tens of thousands of scenarios would take half an hour there
  list(FILTER tests EXCLUDE REGEX "cuda_fault_test.cpp$")
endif()
if(LAMELLA_SANITIZE OR NOT CMAKE_BUILD_TYPE STREQUAL Release)  # counts the stack frames of an optimised build
  list(FILTER tests EXCLUDE REGEX "frames_test.cpp$")
endif()
foreach(source IN LISTS tests)
  get_filename_component(name ${source} NAME_WE)
  lamella_test(${name} ${source} PREFIX "fake." LABELS fake DEVICE cuda LINK lamella_cuda_on_fake)
endforeach()
if(TARGET frames_test)
  target_link_options(frames_test PRIVATE -Wl,--wrap=dnnl_primitive_execute,--wrap=cublasLtMatmul,--wrap=cudaGraphLaunch)
endif()

# The double as a plugin, for the command: LAMELLA_CUDA_PLUGIN=.../liblamella_cuda_fake.so lamella predict --device cuda ...
if(LAMELLA_WITH_CUDA)
  add_library(lamella_cuda_fake MODULE $<TARGET_OBJECTS:lamella_cuda_sources_on_fake> ${PROJECT_SOURCE_DIR}/src/cuda/plugin.cpp
    ${CMAKE_CURRENT_SOURCE_DIR}/fake_cuda/driver.cpp)
  lamella_target(lamella_cuda_fake)
  target_include_directories(lamella_cuda_fake PRIVATE ${PROJECT_SOURCE_DIR})
  target_link_libraries(lamella_cuda_fake PRIVATE lamella_kernels_ptx lamella_fake_cuda lamella)
  add_test(NAME fake.Command.VerifiesAModelOnThePlugin
    COMMAND lamella_cli verify ${PROJECT_SOURCE_DIR}/examples/models/mlp.keras --input ${PROJECT_SOURCE_DIR}/examples/models/mlp_input.npy
      --expected ${PROJECT_SOURCE_DIR}/examples/models/mlp_expected.npy --device cuda:0)
  set_tests_properties(fake.Command.VerifiesAModelOnThePlugin PROPERTIES LABELS fake
    ENVIRONMENT "LAMELLA_CUDA_PLUGIN=$<TARGET_FILE:lamella_cuda_fake>")

  # The programs that measure on a GPU host, run here so that they are known to work before there is one.
  function(lamella_fake_bench name wanted)
    add_test(NAME fake.Bench.${name} COMMAND ${ARGN})
    set_tests_properties(fake.Bench.${name} PROPERTIES LABELS fake TIMEOUT 300 PASS_REGULAR_EXPRESSION "${wanted}"
      ENVIRONMENT "LAMELLA_CUDA_PLUGIN=$<TARGET_FILE:lamella_cuda_fake>")
  endfunction()
  if(TARGET lamella_cli)
    lamella_fake_bench(goals "automatic .* of 48 cells met it, 0 skipped.*stack .* of 6 cells met it, 0 skipped" lamella_goals --small --driver $<TARGET_FILE:lamella_cuda_fake>)
    lamella_fake_bench(goals_without_time "fused .* 0 of 0 cells met it, 48 skipped" lamella_goals --small --seconds 0 --driver $<TARGET_FILE:lamella_cuda_fake>)
    lamella_fake_bench(goals_that_end_in_an_error "\"failed\": \"bench: cuMemcpyDtoDAsync failed: CUDA error 999.*\"goal\":\"automatic\",\"value\""
      ${CMAKE_COMMAND} -E env LAMELLA_FAKE_DRIVER=no_copies $<TARGET_FILE:lamella_goals> --small --driver $<TARGET_FILE:lamella_cuda_fake>)
    lamella_fake_bench(host_predict "first_predict_ms.*compute_ms" lamella_host_predict ${PROJECT_SOURCE_DIR}/examples/models/mlp.keras cuda:0 0.0001)
  endif()
endif()
