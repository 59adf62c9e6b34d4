// SPDX-License-Identifier: Apache-2.0
#include "cuda/stream.hpp"

#include <utility>

#include <nvtx3/nvToolsExt.h>

#include "cuda/activation/cudnn.hpp"
#include "cuda/kept.hpp"
#include "cuda/status.hpp"

namespace lamella::cuda {
namespace {

class CudaGraph final : public core::Graph {
 public:
  CudaGraph(int device, cudaGraphExec_t exec) : device_(device), exec_(exec) {}
  ~CudaGraph() override {
    if (!is_lost(device_)) check_quietly(cudaGraphExecDestroy(exec_), device_, "cudaGraphExecDestroy");
  }
  CudaGraph(const CudaGraph&) = delete;
  CudaGraph& operator=(const CudaGraph&) = delete;
  [[nodiscard]] cudaGraphExec_t exec() const noexcept { return exec_; }

 private:
  int device_;
  cudaGraphExec_t exec_;
};

/// Out of memory and a lost device are not reasons to work without a graph.
bool is_fatal(const Error& error) { return error.code() == ErrorCode::out_of_memory || error.code() == ErrorCode::device_lost; }

}  // namespace

void check(cublasStatus_t status, int device, const char* call) {
  if (status == CUBLAS_STATUS_SUCCESS) return;
  // What the library met may have been an error of CUDA's own that says more, and that may have lost the device.
  check(cudaPeekAtLastError(), device, call);
  const std::string message = core::concat("[cuda:", device, "] ", call, ": ", cublasLtGetStatusName(status));
  if (status == CUBLAS_STATUS_ALLOC_FAILED) throw Error(ErrorCode::out_of_memory, message);
  throw DeviceError(ErrorCode::device, message);
}

CudaStream::CudaStream(int device) : device_(device) {
  const DeviceGuard guard(device_);
  check(cudaStreamCreateWithFlags(&own_, cudaStreamNonBlocking), device_, "cudaStreamCreateWithFlags");
  if (const cudaError_t status = cudaEventCreateWithFlags(&event_, cudaEventDisableTiming); status != cudaSuccess) {
    check_quietly(cudaStreamDestroy(own_), device_, "cudaStreamDestroy");
    check(status, device_, "cudaEventCreateWithFlags");
  }
  current_ = own_;
}

CudaStream::~CudaStream() {
  if (is_lost(device_)) return;
  // Memory that the work uses goes when this returns.
  if (current_ != own_ && !joined_) wait_quietly(event_, device_);
  wait_quietly(own_, device_);
  if (is_lost(device_)) return;
  cudnn_.reset();
  if (cublaslt_ != nullptr) static_cast<void>(cublasLtDestroy(cublaslt_));
  check_quietly(cudaEventDestroy(event_), device_, "cudaEventDestroy");
  check_quietly(cudaStreamDestroy(own_), device_, "cudaStreamDestroy");
}

void CudaStream::synchronize() {
  const DeviceGuard guard(device_);
  if (current_ != own_) check(cudaEventSynchronize(event_), device_, "cudaEventSynchronize");
  check(cudaStreamSynchronize(own_), device_, "cudaStreamSynchronize");
}

void CudaStream::follow(void* native) {
  const auto next = native == nullptr ? own_ : static_cast<cudaStream_t>(native);
  if (next == current_) return;
  const DeviceGuard guard(device_);
  if (current_ == own_) check(cudaEventRecord(event_, own_), device_, "cudaEventRecord");
  check(cudaStreamWaitEvent(next, event_, 0), device_, "cudaStreamWaitEvent");
  current_ = next;
}

/// A caller's stream may be gone when its work is waited for.
void CudaStream::mark() {
  if (current_ == own_ || joined_) return;
  const cudaError_t status = cudaEventRecord(event_, current_);
  if (status == cudaSuccess) return;
  wait_quietly(current_, device_);  // while the stream is known to be there
  check(status, device_, "cudaEventRecord");
}

void CudaStream::enqueue(const std::function<void()>& work) {
  const DeviceGuard guard(device_);
  try {
    work();
  } catch (...) {
    if (current_ != own_ && !joined_) wait_quietly(current_, device_);  // for the part that was enqueued
    throw;
  }
  mark();
}

void CudaStream::begin_range(const char* name) { static_cast<void>(nvtxRangePushA(name)); }
void CudaStream::end_range() { static_cast<void>(nvtxRangePop()); }

void CudaStream::copy(void* dst, const void* src, std::size_t bytes) {
  if (bytes == 0) return;
  const DeviceGuard guard(device_);
  check(cudaMemcpyAsync(dst, src, bytes, cudaMemcpyDefault, current_), device_, "cudaMemcpyAsync");
  mark();
}

cublasLtHandle_t CudaStream::cublaslt() {
  if (cublaslt_ == nullptr) check(cublasLtCreate(&cublaslt_), device_, "cublasLtCreate");
  return cublaslt_;
}

CudnnHandle& CudaStream::cudnn() {
  if (!cudnn_) cudnn_ = make_cudnn_handle(device_);
  return *cudnn_;
}

std::unique_ptr<core::Graph> CudaStream::capture(const std::function<void()>& work, std::string& why_not) {
  LAMELLA_ASSERT(current_ == own_, "work is captured on a stream's own handle");
  const DeviceGuard guard(device_);
  check(cudaStreamBeginCapture(own_, cudaStreamCaptureModeThreadLocal), device_, "cudaStreamBeginCapture");
  cudaGraph_t graph = nullptr;
  try {
    work();
  } catch (const Error& error) {
    static_cast<void>(cudaStreamEndCapture(own_, &graph));
    if (graph != nullptr) check_quietly(cudaGraphDestroy(graph), device_, "cudaGraphDestroy");
    static_cast<void>(cudaGetLastError());
    if (is_fatal(error)) throw;
    why_not = core::without_code(error.what());
    return nullptr;
  } catch (...) {
    static_cast<void>(cudaStreamEndCapture(own_, &graph));
    if (graph != nullptr) check_quietly(cudaGraphDestroy(graph), device_, "cudaGraphDestroy");
    throw;
  }
  cudaGraphExec_t exec = nullptr;
  cudaError_t status = cudaStreamEndCapture(own_, &graph);
  const char* call = "cudaStreamEndCapture";
  if (status == cudaSuccess) {
    status = cudaGraphInstantiate(&exec, graph, 0);
    call = "cudaGraphInstantiate";
    check_quietly(cudaGraphDestroy(graph), device_, "cudaGraphDestroy");
  }
  try {
    check(status, device_, call);
  } catch (const Error& error) {
    if (is_fatal(error)) throw;
    why_not = core::without_code(error.what());
    return nullptr;
  }
  try {
    return std::make_unique<CudaGraph>(device_, exec);
  } catch (...) {
    check_quietly(cudaGraphExecDestroy(exec), device_, "cudaGraphExecDestroy");
    throw;
  }
}

void CudaStream::join_capture(void* native, std::shared_ptr<const void> what) {
  LAMELLA_ASSERT(current_ == own_, "a stream that joins a capture has done all its work");
  const DeviceGuard guard(device_);
  const auto stream = static_cast<cudaStream_t>(native);
  cudaStreamCaptureStatus status = cudaStreamCaptureStatusNone;
  cudaGraph_t graph = nullptr;
  check(cudaStreamGetCaptureInfo(stream, &status, nullptr, &graph), device_, "cudaStreamGetCaptureInfo");
  if (status != cudaStreamCaptureStatusActive) check(cudaErrorStreamCaptureInvalidated, device_, "cudaStreamGetCaptureInfo");
  keep_with(graph, std::move(what), device_);
  current_ = stream;
  joined_ = true;
}

void CudaStream::launch(core::Graph& graph) {
  const DeviceGuard guard(device_);
  check(cudaGraphLaunch(static_cast<CudaGraph&>(graph).exec(), current_), device_, "cudaGraphLaunch");
  mark();
}

}  // namespace lamella::cuda
