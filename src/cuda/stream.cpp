// SPDX-License-Identifier: Apache-2.0
#include "cuda/stream.hpp"

#include <utility>

#include <nvtx3/nvToolsExt.h>

#include "cuda/activation/cudnn.hpp"
#include "cuda/graph_user_object.hpp"
#include "cuda/status.hpp"

namespace lamella::cuda {
namespace {

class CudaGraph final : public core::Graph {
 public:
  CudaGraph(int device, cudaGraphExec_t exec) : device_(device), exec_(exec) {}
  ~CudaGraph() override {
    if (is_lost(device_)) return;
    const DeviceGuard guard(device_, std::nothrow);
    check_quietly(cudaGraphExecDestroy(exec_), device_, "cudaGraphExecDestroy");
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

/// Whether the result of a capture shows that other code in the process invalidated it: the next attempt may succeed.
bool is_disturbed(cudaError_t status) {
  return status == cudaErrorStreamCaptureUnsupported || status == cudaErrorStreamCaptureInvalidated ||
         status == cudaErrorStreamCaptureImplicit;
}

}  // namespace

void check(cublasStatus_t status, int device, const char* call) {
  if (status == CUBLAS_STATUS_SUCCESS) return;
  const std::string message = core::format("[cuda:{}] {}: {}", device, call, cublasLtGetStatusName(status));
  if (status == CUBLAS_STATUS_ALLOC_FAILED) throw Error(ErrorCode::out_of_memory, message);
  throw DeviceError(ErrorCode::device, message);
}

unsigned long long id_of(cudaStream_t stream, int device) {
  const DeviceGuard guard(device);
  unsigned long long id = 0;
  check(cudaStreamGetId(stream, &id), device, "cudaStreamGetId");
  return id;
}

CudaStream::CudaStream(CudaDevice& device) : device_(device) {
  const DeviceGuard guard(device_.index);
  check(cudaStreamCreateWithFlags(&own_, cudaStreamNonBlocking), device_.index, "cudaStreamCreateWithFlags");
  if (const cudaError_t status = cudaEventCreateWithFlags(&event_, cudaEventDisableTiming); status != cudaSuccess) {
    check_quietly(cudaStreamDestroy(own_), device_.index, "cudaStreamDestroy");
    check(status, device_.index, "cudaEventCreateWithFlags");
  }
  current_ = own_;
}

CudaStream::~CudaStream() {
  if (!is_lost(device_.index)) {
    // The memory that the work uses may be freed when this returns.
    const DeviceGuard guard(device_.index, std::nothrow);
    if (current_ != own_ && !joined_)
      destroy_when_done(event_, device_.index);
    else
      check_quietly(cudaEventDestroy(event_), device_.index, "cudaEventDestroy");
    destroy_when_done(own_, device_.index);
  }
  device_.cublaslt.give_back(std::move(cublaslt_));
  device_.cudnn.give_back(std::move(cudnn_));
}

void CudaStream::synchronize() {
  const DeviceGuard guard(device_.index);
  if (current_ != own_) check(cudaEventSynchronize(event_), device_.index, "cudaEventSynchronize");
  check(cudaStreamSynchronize(own_), device_.index, "cudaStreamSynchronize");
}

bool CudaStream::is_idle() noexcept {
  const DeviceGuard guard(device_.index, std::nothrow);
  const bool idle = current_ == own_ || cudaEventQuery(event_) == cudaSuccess;
  if (!idle) static_cast<void>(cudaGetLastError());
  return idle;
}

void CudaStream::switch_to(void* native) {
  const auto next = native == nullptr ? own_ : static_cast<cudaStream_t>(native);
  const unsigned long long id = native == nullptr ? 0 : id_of(next, device_.index);
  if (id == id_) return;
  const DeviceGuard guard(device_.index);
  if (current_ == own_) check(cudaEventRecord(event_, own_), device_.index, "cudaEventRecord");
  check(cudaStreamWaitEvent(next, event_, 0), device_.index, "cudaStreamWaitEvent");
  current_ = next;
  id_ = id;
}

void CudaStream::follow(core::Stream& other) {
  const auto& before = static_cast<const CudaStream&>(other);
  if (before.current_ == before.own_) return;
  const DeviceGuard guard(device_.index);
  check(cudaStreamWaitEvent(current_, before.event_, 0), device_.index, "cudaStreamWaitEvent");
}

void CudaStream::wait_for_current() noexcept {
  if (current_ != own_ && !joined_) wait_for_callers(current_, id_, device_.index);
}

/// A caller's stream may have been destroyed before its work is waited for.
void CudaStream::mark() {
  if (current_ == own_ || joined_) return;
  const cudaError_t status = cudaEventRecord(event_, current_);
  if (status == cudaSuccess) return;
  wait_for_current();  // while the stream is known to exist
  check(status, device_.index, "cudaEventRecord");
}

void CudaStream::begin_work() { working_.emplace(device_.index); }

void CudaStream::end_work() {
  try {
    mark();
  } catch (...) {
    working_.reset();
    throw;
  }
  working_.reset();
}

void CudaStream::abandon_work() noexcept {
  wait_for_current();  // for the enqueued part
  working_.reset();
}

void CudaStream::begin_range(const char* name) { static_cast<void>(nvtxRangePushA(name)); }
void CudaStream::end_range() { static_cast<void>(nvtxRangePop()); }

void CudaStream::copy(void* dst, const void* src, std::size_t bytes) {
  if (bytes == 0) return;
  const DeviceGuard guard(device_.index);
  check(cudaMemcpyAsync(dst, src, bytes, cudaMemcpyDefault, current_), device_.index, "cudaMemcpyAsync");
  mark();
}

cublasLtHandle_t CudaStream::cublaslt() {
  LAMELLA_ASSERT(cublaslt_ || !capturing_, "handles must be created before a capture");
  if (!cublaslt_) cublaslt_ = take_cublaslt(device_);
  return cublaslt_.get();
}

CudnnHandle& CudaStream::cudnn() {
  LAMELLA_ASSERT(cudnn_ || !capturing_, "handles must be created before a capture");
  if (!cudnn_) cudnn_ = take_cudnn(device_);
  return *cudnn_;
}

void CudaStream::expect_alive_after(const char* call) const {
  if (capturing_ || joined_) return;  // asking would end the capture
  check(cudaStreamSynchronize(own_), device_.index, call);
}

namespace {

/// Ends the capture of a stream and instantiates the graph as `exec`; the captured graph is destroyed.
cudaError_t end_capture(cudaStream_t stream, cudaGraphExec_t* exec, int device, const char*& call) {
  cudaGraph_t graph = nullptr;
  call = "cudaStreamEndCapture";
  cudaError_t status = cudaStreamEndCapture(stream, &graph);
  if (status == cudaSuccess && exec != nullptr) {
    call = "cudaGraphInstantiate";
    status = cudaGraphInstantiate(exec, graph, 0);
  }
  if (graph != nullptr) check_quietly(cudaGraphDestroy(graph), device, "cudaGraphDestroy");
  return status;
}

}  // namespace

std::unique_ptr<core::Graph> CudaStream::capture(const std::function<void()>& work, core::NotCaptured& why_not) {
  LAMELLA_ASSERT(current_ == own_, "only a stream's own handle can be captured");
  const DeviceGuard guard(device_.index);
  const std::unique_lock alone(device_.captures);
  const char* call = "cudaStreamBeginCapture";
  cudaGraphExec_t exec = nullptr;
  check(cudaStreamBeginCapture(own_, cudaStreamCaptureModeThreadLocal), device_.index, call);
  capturing_ = true;
  const auto end = [&](cudaGraphExec_t* made) {
    capturing_ = false;
    const cudaError_t status = end_capture(own_, made, device_.index, call);
    why_not.disturbed = is_disturbed(status);
    return status;
  };
  try {
    try {
      work();
    } catch (...) {
      static_cast<void>(end(nullptr));
      static_cast<void>(cudaGetLastError());
      throw;
    }
    const cudaError_t status = end(&exec);  // which sets `call`
    check(status, device_.index, call);
  } catch (const Error& error) {
    if (is_fatal(error)) throw;
    why_not.why = core::without_code(error.what());
    return nullptr;
  }
  try {
    return std::make_unique<CudaGraph>(device_.index, exec);
  } catch (...) {
    check_quietly(cudaGraphExecDestroy(exec), device_.index, "cudaGraphExecDestroy");
    throw;
  }
}

void CudaStream::join_capture(void* native, std::shared_ptr<const void> what) {
  LAMELLA_ASSERT(current_ == own_, "a stream must be on its own handle to join a capture");
  const DeviceGuard guard(device_.index);
  const auto stream = static_cast<cudaStream_t>(native);
  cudaStreamCaptureStatus status = cudaStreamCaptureStatusNone;
  cudaGraph_t graph = nullptr;
  check(cudaStreamGetCaptureInfo(stream, &status, nullptr, &graph), device_.index, "cudaStreamGetCaptureInfo");
  if (status != cudaStreamCaptureStatusActive)
    check(cudaErrorStreamCaptureInvalidated, device_.index, "cudaStreamGetCaptureInfo");
  id_ = id_of(stream, device_.index);
  keep_with(graph, std::move(what), device_.index);
  current_ = stream;
  joined_ = true;
}

void CudaStream::launch(core::Graph& graph) {
  const DeviceGuard guard(device_.index);
  check(cudaGraphLaunch(static_cast<CudaGraph&>(graph).exec(), current_), device_.index, "cudaGraphLaunch");
  mark();
}

}  // namespace lamella::cuda
