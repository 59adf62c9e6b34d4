# SPDX-License-Identifier: Apache-2.0
# Decides whether the CUDA device is built: sets LAMELLA_WITH_CUDA, and enables CUDA. LAMELLA_CUDA=AUTO builds it where the toolkit is;
# PLUGIN builds none, and the library opens one that was built elsewhere, as the Python package does.
# LAMELLA_CUDA_HEADERS says whether CUDA's headers are there: with them, tests run the device's code on a test double.
include(CheckLanguage)

find_package(CUDAToolkit 12.8 QUIET)  # its nvcc has --compress-mode
set(LAMELLA_CUDA_HEADERS ${CUDAToolkit_FOUND})
set(LAMELLA_WITH_CUDA OFF)
if(NOT LAMELLA_SHARED)  # the device is a plugin, which shares the library with the program that opens it
  if(LAMELLA_CUDA MATCHES "^(ON|PLUGIN)$")
    message(FATAL_ERROR "LAMELLA_CUDA=${LAMELLA_CUDA} needs LAMELLA_SHARED=ON")
  endif()
elseif(NOT LAMELLA_CUDA MATCHES "^(OFF|PLUGIN)$")
  if(CUDAToolkit_FOUND AND CUDAToolkit_NVCC_EXECUTABLE AND TARGET CUDA::cublasLt)
    if(NOT CMAKE_CUDA_COMPILER AND NOT DEFINED ENV{CUDACXX})
      set(CMAKE_CUDA_COMPILER ${CUDAToolkit_NVCC_EXECUTABLE})
    endif()
    if(NOT DEFINED CMAKE_CUDA_ARCHITECTURES AND NOT DEFINED ENV{CUDAARCHS})
      # PTX for 100 also runs on 110, PTX for 120 on newer devices.
      set(CMAKE_CUDA_ARCHITECTURES 75-real 80-real 86-real 89-real 90-real 100 120 CACHE STRING "Architectures of the CUDA device")
    endif()
    enable_language(CUDA)  # reads CUDAARCHS from the environment
    set(CMAKE_CUDA_STANDARD 20)
    set(CMAKE_CUDA_STANDARD_REQUIRED ON)
    set(LAMELLA_WITH_CUDA ON)
  elseif(LAMELLA_CUDA STREQUAL "ON")
    message(FATAL_ERROR "LAMELLA_CUDA=ON needs the CUDA toolkit 12.8 or later with nvcc and cuBLASLt, which was not found; "
                        "set CUDAToolkit_ROOT, or LAMELLA_CUDA=OFF")
  endif()
endif()
if(LAMELLA_CUDA_HEADERS)
  find_package(CUDNN QUIET MODULE)
endif()
if(LAMELLA_WITH_CUDA)
  list(JOIN CMAKE_CUDA_ARCHITECTURES ", " architectures)
  message(STATUS "CUDA device: toolkit ${CUDAToolkit_VERSION}, architectures ${architectures}, cuDNN ${CUDNN_FOUND}")
else()
  message(STATUS "CUDA device: not built (LAMELLA_CUDA=${LAMELLA_CUDA}, LAMELLA_SHARED=${LAMELLA_SHARED}, toolkit found: ${CUDAToolkit_FOUND})")
endif()
