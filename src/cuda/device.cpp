// SPDX-License-Identifier: Apache-2.0
#include "cuda/device.hpp"

#include "cuda/activation/cudnn.hpp"
#include "cuda/context.hpp"
#include "cuda/dense/algorithms.hpp"
#include "cuda/status.hpp"
#include "cuda/stream.hpp"
#include "kernels/kernels.hpp"

namespace lamella::cuda {

CudaDevice::CudaDevice(int device) : index(device), memory(device), algorithms(std::make_unique<ProductAlgorithms>()) {
  const DeviceGuard guard(device);
  hardware = Hardware::of(device);
  const cudaError_t status = kernels::has_image(architecture);
  if (status == cudaSuccess) {
    constexpr int kInGraphs = 12030;  // earlier drivers cannot capture such launches
    int driver = 0;
    check(cudaDriverGetVersion(&driver), device, "cudaDriverGetVersion");
    overlaps = architecture >= kernels::kOverlapArchitecture && driver >= kInGraphs;
    return;
  }
  int major = 0;
  int minor = 0;
  static_cast<void>(cudaDeviceGetAttribute(&major, cudaDevAttrComputeCapabilityMajor, device));
  static_cast<void>(cudaDeviceGetAttribute(&minor, cudaDevAttrComputeCapabilityMinor, device));
  if (status == cudaErrorNoKernelImageForDevice || status == cudaErrorInvalidDeviceFunction) {
    static_cast<void>(cudaGetLastError());
    throw DeviceError(ErrorCode::device, core::format("[cuda:{}] this build of lamella has no code for GPUs of compute "
                                                      "capability {}.{}; build it with CMAKE_CUDA_ARCHITECTURES={}{}",
                                                      device, major, minor, major, minor));
  }
  check(status, device, "cudaFuncGetAttributes");
}
CudaDevice::~CudaDevice() { static_cast<void>(drain(index)); }

int CudaDevice::clusters_at_once(std::int64_t rows) {
  std::atomic<int>& known = clusters_.at(static_cast<std::size_t>(rows));
  if (const int found = known.load(std::memory_order_relaxed); found > 0) return found - 1;
  const DeviceGuard guard(index);
  int count = 0;
  const cudaError_t status = kernels::stack_clusters_at_once(rows, count);
  if (status == cudaErrorInvalidClusterSize) {
    static_cast<void>(cudaGetLastError());
    count = 0;
  } else {
    check(status, index, "cudaOccupancyMaxActiveClusters");
  }
  known.store(count + 1, std::memory_order_relaxed);
  return count;
}

std::shared_ptr<cublasLtContext> take_cublaslt(CudaDevice& device) {
  return device.cublaslt.take([&device] {
    const std::shared_lock undisturbed(device.captures);
    cublasLtHandle_t handle = nullptr;
    check(cublasLtCreate(&handle), device.index, "cublasLtCreate");
    const auto destroy = [index = device.index](cublasLtHandle_t made) {
      if (is_lost(index)) return;
      const DeviceGuard guard(index, std::nothrow);
      static_cast<void>(cublasLtDestroy(made));
    };
    return std::shared_ptr<cublasLtContext>(handle, destroy);
  });
}

std::shared_ptr<CudnnHandle> take_cudnn(CudaDevice& device) {
  return device.cudnn.take([&device] {
    const std::shared_lock undisturbed(device.captures);
    return make_cudnn_handle(device.index);
  });
}

}  // namespace lamella::cuda
