// SPDX-License-Identifier: Apache-2.0
// A caller with its own device memory and stream, such as a server or a game: copies in, predicts and copies out on one stream,
// and waits once. Usage: cuda_stream MODEL X.npy
#include <cuda_runtime_api.h>

#include <cstdio>
#include <exception>
#include <lamella/lamella.hpp>
#include <stdexcept>

namespace {

void check(cudaError_t status) {
  if (status != cudaSuccess) throw std::runtime_error(cudaGetErrorString(status));
}

/// Device memory owned by the caller.
class Buffer {
 public:
  explicit Buffer(std::size_t bytes) { check(cudaMalloc(&data_, bytes)); }
  ~Buffer() { cudaFree(data_); }
  Buffer(const Buffer&) = delete;
  Buffer& operator=(const Buffer&) = delete;
  [[nodiscard]] void* data() const { return data_; }

 private:
  void* data_ = nullptr;
};

void run(const char* path, const char* input) {
  using namespace lamella;
  const Device device = Device::cuda(0);
  const Model model = Model::load(path, {.device = device});
  const Tensor x = load_npy(input);
  Tensor y({x.shape()[0], model.output_shape()[0]});
  const Buffer src(x.bytes());
  const Buffer dst(y.bytes());
  cudaStream_t stream = nullptr;
  check(cudaStreamCreateWithFlags(&stream, cudaStreamNonBlocking));
  for (int frame = 0; frame < 3;
       ++frame) {  // the first call enqueues step by step, the second captures a graph, later ones replay it
    check(cudaMemcpyAsync(src.data(), x.data(), x.bytes(), cudaMemcpyHostToDevice, stream));
    model.predict_into({src.data(), x.shape(), x.dtype(), device}, {dst.data(), y.shape(), y.dtype(), device}, stream);
    check(cudaMemcpyAsync(y.data(), dst.data(), y.bytes(), cudaMemcpyDeviceToHost, stream));
  }
  check(cudaStreamSynchronize(stream));
  check(cudaStreamDestroy(stream));
  for (const float value : y.span<float>().first(static_cast<std::size_t>(y.shape()[1])))
    std::printf("%.6f\n", static_cast<double>(value));
}

}  // namespace

int main(int argc, char** argv) {
  if (argc != 3) {
    std::fprintf(stderr, "usage: cuda_stream MODEL X.npy\n");
    return 2;
  }
  try {
    run(argv[1], argv[2]);
    return 0;
  } catch (const std::exception& error) {
    std::fprintf(stderr, "cuda_stream: %s\n", error.what());
    return 1;
  }
}
