// SPDX-License-Identifier: Apache-2.0
// Finds out how a driver behaves where its documentation leaves this open, so that src/cuda handles both cases; takes a few
// seconds. Prints a JSON object per line: the question, the driver's answer, and what src/cuda does about it. Exit status: 0 all
// questions answered, 1 not all, 5 no GPU. Usage: probe
#include <cublasLt.h>
#include <cudaTypedefs.h>
#include <cuda_runtime.h>

#include <array>
#include <chrono>
#include <cstdint>
#include <cstdio>
#include <functional>
#include <stdexcept>
#include <string>
#include <thread>
#include <vector>

namespace {

void check(cudaError_t error, const char* what) {
  if (error == cudaSuccess) return;
  static_cast<void>(cudaGetLastError());
  throw std::runtime_error(std::string(what) + ": " + cudaGetErrorName(error));
}
void check(cublasStatus_t status, const char* what) {
  if (status != CUBLAS_STATUS_SUCCESS) throw std::runtime_error(std::string(what) + ": " + cublasLtGetStatusName(status));
}

/// The driver's name for a status. Clears the runtime's last error.
std::string said(cudaError_t error) {
  static_cast<void>(cudaGetLastError());
  return cudaGetErrorName(error);
}
std::string said(cublasStatus_t status) { return cublasLtGetStatusName(status); }

int failed = 0;

/// Prints a question with the answer that `ask` returns, or with the error that it throws.
void question(const char* name, const std::function<std::string()>& ask) {
  std::string answer;
  const char* key = "answer";
  try {
    answer = ask();
  } catch (const std::exception& error) {
    answer = error.what();
    key = "not_asked";
    ++failed;
  }
  std::printf("{\"question\": \"%s\", \"%s\": \"%s\"}\n", name, key, answer.c_str());
  std::fflush(stdout);
}

class Stream {
 public:
  Stream() { check(cudaStreamCreateWithFlags(&stream_, cudaStreamNonBlocking), "cudaStreamCreateWithFlags"); }
  ~Stream() { static_cast<void>(cudaStreamDestroy(stream_)); }
  Stream(const Stream&) = delete;
  Stream& operator=(const Stream&) = delete;
  [[nodiscard]] cudaStream_t get() const { return stream_; }

 private:
  cudaStream_t stream_ = nullptr;
};

struct Memory {
  explicit Memory(std::size_t bytes) { check(cudaMalloc(&data, bytes), "cudaMalloc"); }
  ~Memory() { static_cast<void>(cudaFree(data)); }
  Memory(const Memory&) = delete;
  Memory& operator=(const Memory&) = delete;
  void* data = nullptr;
};

/// A type of operands, and the type in which they are multiplied.
struct Kind {
  const char* name;
  cudaDataType_t type;
  cublasComputeType_t compute;
  std::uint32_t bytes;
};
constexpr std::array kKinds{
    Kind{"float32", CUDA_R_32F, CUBLAS_COMPUTE_32F, 4}, Kind{"tf32", CUDA_R_32F, CUBLAS_COMPUTE_32F_FAST_TF32, 4},
    Kind{"float16", CUDA_R_16F, CUBLAS_COMPUTE_32F, 2}, Kind{"bfloat16", CUDA_R_16BF, CUBLAS_COMPUTE_32F, 2}};

struct Epilogue {
  const char* name;
  cublasLtEpilogue_t value;
  bool has_bias;
};
constexpr std::array kEpilogues{
    Epilogue{"none", CUBLASLT_EPILOGUE_DEFAULT, false}, Epilogue{"bias", CUBLASLT_EPILOGUE_BIAS, true},
    Epilogue{"relu_bias", CUBLASLT_EPILOGUE_RELU_BIAS, true}, Epilogue{"gelu_bias", CUBLASLT_EPILOGUE_GELU_BIAS, true}};
constexpr std::int64_t kSide = 64;
constexpr std::size_t kWorkspace = std::size_t{4} << 20U;

/// D[side, side] = epilogue(A B), column-major. Frees nothing, because the process ends soon.
struct Product {
  Product(const Kind& kind, const Epilogue& epilogue, const void* bias, std::uint32_t alignment) {
    check(cublasLtMatmulDescCreate(&operation, kind.compute, CUDA_R_32F), "cublasLtMatmulDescCreate");
    set(CUBLASLT_MATMUL_DESC_EPILOGUE, epilogue.value);
    if (epilogue.has_bias) {
      set(CUBLASLT_MATMUL_DESC_BIAS_DATA_TYPE, kind.type);
      set(CUBLASLT_MATMUL_DESC_BIAS_POINTER, bias);
    }
    check(cublasLtMatrixLayoutCreate(&layout, kind.type, kSide, kSide, kSide), "cublasLtMatrixLayoutCreate");
    check(cublasLtMatmulPreferenceCreate(&preference), "cublasLtMatmulPreferenceCreate");
    prefer(CUBLASLT_MATMUL_PREF_MAX_WORKSPACE_BYTES, std::uint64_t{kWorkspace});
    for (const auto which : {CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_B_BYTES, CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_C_BYTES,
                             CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_D_BYTES})
      prefer(which, alignment);
  }
  template <typename T>
  void set(cublasLtMatmulDescAttributes_t attribute, const T& value) {
    check(cublasLtMatmulDescSetAttribute(operation, attribute, &value, sizeof value), "cublasLtMatmulDescSetAttribute");
  }
  template <typename T>
  void prefer(cublasLtMatmulPreferenceAttributes_t attribute, const T& value) {
    check(cublasLtMatmulPreferenceSetAttribute(preference, attribute, &value, sizeof value),
          "cublasLtMatmulPreferenceSetAttribute");
  }
  cublasStatus_t candidates(cublasLtHandle_t handle, int& count) {
    std::array<cublasLtMatmulHeuristicResult_t, 8> results{};
    const cublasStatus_t status = cublasLtMatmulAlgoGetHeuristic(handle, operation, layout, layout, layout, layout, preference,
                                                                 static_cast<int>(results.size()), results.data(), &count);
    best = results[0];
    return status;
  }
  cublasLtMatmulDesc_t operation = nullptr;
  cublasLtMatrixLayout_t layout = nullptr;
  cublasLtMatmulPreference_t preference = nullptr;
  cublasLtMatmulHeuristicResult_t best{};
};

cublasLtHandle_t make_handle() {
  cublasLtHandle_t handle = nullptr;
  check(cublasLtCreate(&handle), "cublasLtCreate");
  return handle;
}

/// The result of `other` while a stream is being captured, and the result of ending that capture.
std::string while_captured(cudaStreamCaptureMode mode, bool in_another_thread, const std::function<std::string()>& other) {
  const Stream stream;
  const Memory memory(16);
  check(cudaStreamBeginCapture(stream.get(), mode), "cudaStreamBeginCapture");
  check(cudaMemsetAsync(memory.data, 0, 16, stream.get()), "cudaMemsetAsync");
  std::string answer;
  if (in_another_thread) {
    std::thread([&] { answer = other(); }).join();
  } else {
    answer = other();
  }
  cudaGraph_t graph = nullptr;
  answer += "; the capture ends with " + said(cudaStreamEndCapture(stream.get(), &graph));
  if (graph != nullptr) static_cast<void>(cudaGraphDestroy(graph));
  return answer;
}

std::string heuristics(cublasLtHandle_t handle) {
  Product product(kKinds[0], kEpilogues[1], reinterpret_cast<const void*>(std::uintptr_t{256}), 16);
  int count = 0;
  const cublasStatus_t status = product.candidates(handle, count);
  return said(status) + ", " + std::to_string(count) + " algorithms";
}

std::string made_and_destroyed() {
  cublasLtHandle_t handle = nullptr;
  std::string answer = "create " + said(cublasLtCreate(&handle));
  if (handle != nullptr) answer += ", destroy " + said(cublasLtDestroy(handle));
  return answer;
}

void captures() {
  const auto local = cudaStreamCaptureModeThreadLocal;
  const auto relaxed = cudaStreamCaptureModeRelaxed;
  static_cast<void>(heuristics(make_handle()));  // loads what cuBLASLt loads on first use
  question("cudaDeviceSynchronize of another thread during a thread-local capture",
           [&] { return while_captured(local, true, [] { return said(cudaDeviceSynchronize()); }); });
  question("cublasLtCreate and cublasLtDestroy of another thread during a thread-local capture",
           [&] { return while_captured(local, true, made_and_destroyed); });
  question("cuBLASLt's heuristics in another thread during a thread-local capture", [&] {
    const cublasLtHandle_t handle = make_handle();
    return while_captured(local, true, [&] { return heuristics(handle); });
  });
  question("cublasLtCreate and cublasLtDestroy inside a relaxed capture",
           [&] { return while_captured(relaxed, false, made_and_destroyed); });
  question("cuBLASLt's heuristics inside a relaxed capture", [&] {
    const cublasLtHandle_t handle = make_handle();
    return while_captured(relaxed, false, [&] { return heuristics(handle); });
  });
}

/// The first of all, because other calls make a context.
void contexts() {
  question("the context of device 0 after asking the runtime for functions of the driver", [] {
    void* found = nullptr;
    cudaDriverEntryPointQueryResult result{};
    check(cudaGetDriverEntryPointByVersion("cuDevicePrimaryCtxGetState", &found, 7000, cudaEnableLegacyStream, &result),
          "cudaGetDriverEntryPointByVersion");
    if (found == nullptr) throw std::runtime_error("the driver has no cuDevicePrimaryCtxGetState");
    unsigned flags = 0;
    int active = 0;
    const CUresult status = reinterpret_cast<PFN_cuDevicePrimaryCtxGetState_v7000>(found)(0, &flags, &active);
    check(static_cast<cudaError_t>(status), "cuDevicePrimaryCtxGetState");
    return std::string(active != 0 ? "is made" : "is not made");
  });
}

void streams() {
  question("the handle and the id of a stream made after a busy one was destroyed", [] {
    cudaStream_t old = nullptr;
    check(cudaStreamCreateWithFlags(&old, cudaStreamNonBlocking), "cudaStreamCreateWithFlags");
    unsigned long long old_id = 0;
    check(cudaStreamGetId(old, &old_id), "cudaStreamGetId");
    check(cudaLaunchHostFunc(
              old, [](void*) { std::this_thread::sleep_for(std::chrono::milliseconds(200)); }, nullptr),
          "cudaLaunchHostFunc");
    check(cudaStreamDestroy(old), "cudaStreamDestroy");
    const Stream next;
    unsigned long long id = 0;
    check(cudaStreamGetId(next.get(), &id), "cudaStreamGetId");
    std::string answer = next.get() == old ? "the same handle" : "another handle";
    answer += id == old_id ? ", the same id" : ", another id";
    check(cudaDeviceSynchronize(), "cudaDeviceSynchronize");
    return answer;
  });
}

/// NaN * identity through the epilogue, as the first element of the result.
std::string relu_of_nan(const Kind& kind) {
  const auto elements = static_cast<std::size_t>(kSide * kSide);
  std::vector<unsigned char> zeros(elements * kind.bytes, 0);
  std::vector<unsigned char> nans(elements * kind.bytes, 0xFF);  // all bits set is a NaN in each type
  const Memory a(nans.size()), b(zeros.size()), d(zeros.size()), bias(zeros.size()), workspace(kWorkspace);
  check(cudaMemcpy(a.data, nans.data(), nans.size(), cudaMemcpyHostToDevice), "cudaMemcpy");
  for (const Memory* each : {&b, &d, &bias})
    check(cudaMemcpy(each->data, zeros.data(), zeros.size(), cudaMemcpyHostToDevice), "cudaMemcpy");
  Product product(kind, kEpilogues[2], bias.data, 16);
  const cublasLtHandle_t handle = make_handle();
  int count = 0;
  check(product.candidates(handle, count), "cublasLtMatmulAlgoGetHeuristic");
  if (count == 0) return "no algorithm";
  const Stream stream;
  const float one = 1, zero = 0;
  check(cublasLtMatmul(handle, product.operation, &one, a.data, product.layout, b.data, product.layout, &zero, d.data,
                       product.layout, d.data, product.layout, &product.best.algo, workspace.data, kWorkspace, stream.get()),
        "cublasLtMatmul");
  check(cudaStreamSynchronize(stream.get()), "cudaStreamSynchronize");
  check(cudaMemcpy(zeros.data(), d.data, zeros.size(), cudaMemcpyDeviceToHost), "cudaMemcpy");
  for (std::uint32_t i = 0; i < kind.bytes; ++i)
    if (zeros[i] != 0) return "NaN";
  return "0";
}

void products() {
  for (const Kind& kind : kKinds) {
    question((std::string("RELU_BIAS of NaN in ") + kind.name).c_str(), [&] { return relu_of_nan(kind); });
  }
  for (const Kind& kind : kKinds) {
    for (const Epilogue& epilogue : kEpilogues) {
      question(
          (std::string("algorithms for pointers aligned to one element, ") + kind.name + ", epilogue " + epilogue.name).c_str(),
          [&] {
            Product product(kind, epilogue, reinterpret_cast<const void*>(std::uintptr_t{256}), kind.bytes);
            int count = 0;
            const cublasStatus_t status = product.candidates(make_handle(), count);
            return said(status) + ", " + std::to_string(count) + " algorithms";
          });
    }
  }
}

}  // namespace

int main() {
  int devices = 0;
  const cudaError_t found = cudaGetDeviceCount(&devices);
  if (found != cudaSuccess || devices == 0) {
    std::fprintf(stderr, "probe: no GPU: %s\n", cudaGetErrorName(found));
    return 5;
  }
  contexts();
  streams();
  captures();
  products();
  return failed == 0 ? 0 : 1;
}
