// SPDX-License-Identifier: Apache-2.0
#include "cuda/backend.hpp"

#include "cuda/activation/cudnn.hpp"
#include "cuda/ops.hpp"
#include "cuda/status.hpp"
#include "cuda/stream.hpp"

namespace lamella::cuda {
namespace {

std::shared_ptr<CUstream_st> make_stream(int device) {
  cudaStream_t stream = nullptr;
  check(cudaStreamCreateWithFlags(&stream, cudaStreamNonBlocking), device, "cudaStreamCreateWithFlags");
  return {stream, [device](cudaStream_t made) { destroy_when_done(made, device); }};
}

/// Enqueues a transfer by `enqueue(stream)` and waits for it, on a stream that is reused unless it fails. Never the legacy
/// default stream, which would wait for the caller's streams.
template <typename F>
void transfer(CudaDevice& device, const char* call, const F& enqueue) {
  const DeviceGuard guard(device.index);
  std::shared_ptr<CUstream_st> stream = device.transfers.take([&] { return make_stream(device.index); });
  check(enqueue(stream.get()), device.index, call);
  check(cudaStreamSynchronize(stream.get()), device.index, "cudaStreamSynchronize");
  device.transfers.give_back(std::move(stream));
}

}  // namespace

CudaBackend::CudaBackend(int devices)
    : Backend({.captures = true, .graph_name = "CUDA graph", .default_stream = cudaStreamLegacy}),
      devices_(static_cast<std::size_t>(devices)),
      ops_(make_ops(*this)) {}
CudaBackend::~CudaBackend() { cuda::release_retired(); }

CudaDevice& CudaBackend::device(int index) {
  const std::lock_guard lock(mutex_);
  LAMELLA_EXPECTS(index >= 0 && index < device_count(), device, "[cuda] device {} does not exist; there are {}", index,
                  device_count());
  auto& device = devices_[static_cast<std::size_t>(index)];
  if (!device) device = std::make_unique<CudaDevice>(index);
  return *device;
}

std::string CudaBackend::why_unusable(int index) {
  try {
    static_cast<void>(device(index));
    return {};
  } catch (const DeviceError& error) {
    return std::string(core::without_code(error.what()));
  }
}

std::string CudaBackend::describe(int index) const {
  cudaDeviceProp properties{};
  check(cudaGetDeviceProperties(&properties, index), index, "cudaGetDeviceProperties");
  return core::format("{}, compute capability {}.{}, {} GiB, {} SMs", properties.name, properties.major, properties.minor,
                      properties.totalGlobalMem >> 30U, properties.multiProcessorCount);
}

std::vector<std::string> CudaBackend::libraries() const {
  int driver = 0;
  int runtime = 0;
  check(cudaDriverGetVersion(&driver), 0, "cudaDriverGetVersion");
  check(cudaRuntimeGetVersion(&runtime), 0, "cudaRuntimeGetVersion");
  std::vector<std::string> result{core::format("CUDA driver {}.{}", driver / 1000, driver % 1000 / 10),
                                  core::format("CUDA runtime {}.{}", runtime / 1000, runtime % 1000 / 10),
                                  core::format("cuBLASLt {}", version_text(cublasLtGetVersion(), 10000))};
  const std::size_t cudnn = cudnn_version();
  result.push_back(cudnn == 0 ? std::string("cuDNN: not found")
                              : core::format("cuDNN {}.{}.{}", cudnn / 10000, cudnn % 10000 / 100, cudnn % 100));
  return result;
}

void CudaBackend::copy(int index, void* dst, const void* src, std::size_t bytes) {
  if (bytes == 0) return;
  transfer(device(index), "cudaMemcpyAsync",
           [&](cudaStream_t stream) { return cudaMemcpyAsync(dst, src, bytes, cudaMemcpyDefault, stream); });
}

void CudaBackend::fill(int index, void* dst, int byte, std::size_t bytes) {
  if (bytes == 0) return;
  transfer(device(index), "cudaMemsetAsync", [&](cudaStream_t stream) { return cudaMemsetAsync(dst, byte, bytes, stream); });
}

void CudaBackend::expect_device_memory(int index, const void* data, const char* what) {
  if (data == nullptr) return;
  const DeviceGuard guard(index);
  cudaPointerAttributes attributes{};
  check(cudaPointerGetAttributes(&attributes, data), index, "cudaPointerGetAttributes");
  const bool reachable =
      attributes.type == cudaMemoryTypeManaged || (attributes.type == cudaMemoryTypeDevice && attributes.device == index);
  LAMELLA_EXPECTS(reachable, device, "{} should be on cuda:{}, but is {}; Tensor::to(device) copies it there", what, index,
                  attributes.type == cudaMemoryTypeDevice ? core::format("memory of cuda:{}", attributes.device)
                                                          : std::string("host memory"));
}

std::unique_ptr<core::Stream> CudaBackend::create_stream(int index) { return std::make_unique<CudaStream>(device(index)); }

std::uint64_t CudaBackend::stream_id(int index, void* native) { return id_of(static_cast<cudaStream_t>(native), index); }

bool CudaBackend::is_captured(int index, void* native) {
  const DeviceGuard guard(index);
  cudaStreamCaptureStatus status = cudaStreamCaptureStatusNone;
  check(cudaStreamIsCapturing(static_cast<cudaStream_t>(native), &status), index, "cudaStreamIsCapturing");
  return status != cudaStreamCaptureStatusNone;
}

namespace {
thread_local int relaxed_depth = 0;
}
bool is_capture_relaxed() noexcept { return relaxed_depth > 0; }

void CudaBackend::with_relaxed_capture(const std::function<void()>& work) {
  /// Changes this thread's capture mode while the object lives.
  class Relaxed {
   public:
    Relaxed() {
      check(cudaThreadExchangeStreamCaptureMode(&mode_), 0, "cudaThreadExchangeStreamCaptureMode");
      ++relaxed_depth;
    }
    ~Relaxed() {
      --relaxed_depth;
      check_quietly(cudaThreadExchangeStreamCaptureMode(&mode_), 0, "cudaThreadExchangeStreamCaptureMode");
    }
    Relaxed(const Relaxed&) = delete;
    Relaxed& operator=(const Relaxed&) = delete;

   private:
    cudaStreamCaptureMode mode_ = cudaStreamCaptureModeRelaxed;
  };
  const Relaxed relaxed;
  work();
}

}  // namespace lamella::cuda
