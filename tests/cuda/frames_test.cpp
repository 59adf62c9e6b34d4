// SPDX-License-Identifier: Apache-2.0
// Counts lamella's functions on the stack, predict() included, when oneDNN, cuBLASLt or CUDA is entered. docs/architecture.md
// shows this walk. The linker routes the vendors' calls through this file.
#include <cublasLt.h>
#include <cuda_runtime_api.h>
#include <execinfo.h>
#include <oneapi/dnnl/dnnl.h>

#include <array>
#include <cstdlib>

#include "cuda/cuda_support.hpp"

namespace lamella::test {
namespace {

/// The stack at the last call to a vendor's library.
std::array<void*, 64> stack;
int depth = 0;

[[gnu::noinline]] int depth_here() { return backtrace(stack.data(), static_cast<int>(stack.size())); }

std::string shown() {
  std::string text;
  char** const names = backtrace_symbols(stack.data(), depth);
  for (int i = 0; i < depth; ++i) text += std::string("\n  ") + names[i];
  std::free(names);  // NOLINT(cppcoreguidelines-no-malloc): backtrace_symbols says so
  return text;
}

}  // namespace
}  // namespace lamella::test

extern "C" {

dnnl_status_t __real_dnnl_primitive_execute(const_dnnl_primitive_t, dnnl_stream_t, int, const dnnl_exec_arg_t*);
dnnl_status_t __wrap_dnnl_primitive_execute(const_dnnl_primitive_t p, dnnl_stream_t s, int n, const dnnl_exec_arg_t* args) {
  lamella::test::depth = lamella::test::depth_here();
  return __real_dnnl_primitive_execute(p, s, n, args);
}

cudaError_t __real_cudaGraphLaunch(cudaGraphExec_t, cudaStream_t);
cudaError_t __wrap_cudaGraphLaunch(cudaGraphExec_t graph, cudaStream_t stream) {
  lamella::test::depth = lamella::test::depth_here();
  return __real_cudaGraphLaunch(graph, stream);
}

cublasStatus_t __real_cublasLtMatmul(cublasLtHandle_t, cublasLtMatmulDesc_t, const void*, const void*, cublasLtMatrixLayout_t,
                                     const void*, cublasLtMatrixLayout_t, const void*, const void*, cublasLtMatrixLayout_t, void*,
                                     cublasLtMatrixLayout_t, const cublasLtMatmulAlgo_t*, void*, size_t, cudaStream_t);
cublasStatus_t __wrap_cublasLtMatmul(cublasLtHandle_t handle, cublasLtMatmulDesc_t desc, const void* alpha, const void* a,
                                     cublasLtMatrixLayout_t a_desc, const void* b, cublasLtMatrixLayout_t b_desc,
                                     const void* beta, const void* c, cublasLtMatrixLayout_t c_desc, void* d,
                                     cublasLtMatrixLayout_t d_desc, const cublasLtMatmulAlgo_t* algo, void* workspace,
                                     size_t workspace_bytes, cudaStream_t stream) {
  lamella::test::depth = lamella::test::depth_here();
  return __real_cublasLtMatmul(handle, desc, alpha, a, a_desc, b, b_desc, beta, c, c_desc, d, d_desc, algo, workspace,
                               workspace_bytes, stream);
}

}  // extern "C"

namespace lamella::test {
namespace {

/// One Dense layer by an engine that leaves the product to the vendor.
std::shared_ptr<const core::ModelSpec> dense_spec() {
  SpecBuilder builder(3);
  const auto x = builder.input({7});
  return builder.build({builder.dense(x, 7, 33, activation_of("relu"))});
}

Options options(Device device, const char* engine) {
  Options result;
  result.device = device;
  result.engine = engine;
  result.threads = 1;
  return result;
}

class FramesTest : public CudaTest {
 protected:
  FramesTest() { depth = 0; }

  /// Frames between a test function that saw `here` and the vendor's function, without counting either or the wrapper in this
  /// file.
  static int frames(int here) { return depth - here - 1; }

  const Tensor x_ = random_rows(20, 7);
};

TEST_F(FramesTest, ToOneDnnAreFive) {
  const Model model = model_of(dense_spec(), options(Device::cpu(), "onednn_epilogue"));
  Tensor y = model.predict(x_);
  const int here = depth_here();
  depth = 0;
  static_cast<void>(model.predict(x_));
  ASSERT_GT(depth, here);
  EXPECT_LE(frames(here), 5) << "predict" << shown();
  depth = 0;
  model.predict_into(x_, y);
  EXPECT_LE(frames(here), 5) << "predict_into" << shown();
}

TEST_F(FramesTest, ToCublasLtAreFiveStepByStep) {
  Options stepwise = options(Device::cuda(0), "cublaslt_epilogue");
  stepwise.graphs = false;
  const Model model = model_of(dense_spec(), stepwise);
  Tensor y = model.predict(x_).to(Device::cuda(0));
  const Tensor x = x_.to(Device::cuda(0));
  const int here = depth_here();
  depth = 0;
  static_cast<void>(model.predict(x_));
  ASSERT_GT(depth, here);
  EXPECT_LE(frames(here), 5) << "predict" << shown();
  depth = 0;
  model.predict_into(x, y);
  ASSERT_GT(depth, here);
  EXPECT_LE(frames(here), 5) << "predict_into" << shown();
}

TEST_F(FramesTest, ToTheLaunchOfAGraphAreFour) {
  const Model model = model_of(dense_spec(), options(Device::cuda(0), "cublaslt_epilogue"));
  Tensor y = model.predict(x_).to(Device::cuda(0));
  const Tensor x = x_.to(Device::cuda(0));
  for (int i = 0; i < 3; ++i) {
    static_cast<void>(model.predict(x_));
    model.predict_into(x, y);
  }
  const int here = depth_here();
  depth = 0;
  static_cast<void>(model.predict(x_));
  ASSERT_GT(depth, here);
  EXPECT_LE(frames(here), 4) << "predict" << shown();
  depth = 0;
  model.predict_into(x, y);
  ASSERT_GT(depth, here);
  EXPECT_LE(frames(here), 4) << "predict_into" << shown();
}

}  // namespace
}  // namespace lamella::test
