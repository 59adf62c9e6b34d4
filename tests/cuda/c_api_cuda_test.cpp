// SPDX-License-Identifier: Apache-2.0
// The C interface on a CUDA device: streams of the caller's, arrays in device memory.
#include <cuda_runtime_api.h>

#include "c/c_api_support.hpp"
#include "cuda/cuda_support.hpp"

namespace lamella::test {
namespace {

class CApiCudaTest : public CudaTest {};

/// A lamella_tensor on device memory.
struct DescribedThere : Described {
  explicit DescribedThere(Tensor& of) : Described(of) { tensor.device_type = LAMELLA_CUDA; }
};

TEST_F(CApiCudaTest, EnqueuesPredictionsAndUpdatesOnTheCallersStream) {
  const ModelHandle model = loaded("dense", "cuda:0", "true");
  const Model cpp = Model::load(kFixtures + "dense/model.keras", on_cuda());
  const Tensor x = array_of(kFixtures + "dense/arrays.npz", "x");
  Tensor kernel = Tensor::copy_of(cpp.get_layer("dense").weights[0].second);
  for (float& v : kernel.span<float>()) v += 0.5F;
  Tensor bias = Tensor::zeros({kernel.shape()[1]});
  const Tensor before = cpp.predict(x);
  const Tensor after = cpp.with_weights({{"dense/kernel", kernel}, {"dense/bias", bias}}).predict(x);
  ASSERT_FALSE(same_bits(before, after));

  cudaStream_t stream = nullptr;
  ASSERT_EQ(cudaStreamCreateWithFlags(&stream, cudaStreamNonBlocking), cudaSuccess);
  Tensor x_there = x.to(Device::cuda(0));
  Tensor old_y(before.shape(), DType::float32, Device::cuda(0));
  Tensor new_y(before.shape(), DType::float32, Device::cuda(0));
  Tensor kernel_there = kernel.to(Device::cuda(0));
  const DescribedThere in(x_there);
  const DescribedThere old_out(old_y);
  const DescribedThere new_out(new_y);
  DescribedThere new_kernel(kernel_there);
  const Described new_bias(bias);
  const char* names[] = {"dense/kernel", "dense/bias"};
  lamella_tensor values[] = {new_kernel.tensor, new_bias.tensor};
  ok(lamella_model_enqueue(model.get(), &in.tensor, 1, &old_out.tensor, 1, stream));
  ok(lamella_model_enqueue_update(model.get(), names, values, 2, stream));
  ok(lamella_model_enqueue(model.get(), &in.tensor, 1, &new_out.tensor, 1, stream));
  ASSERT_EQ(cudaStreamSynchronize(stream), cudaSuccess);
  EXPECT_TRUE(same_bits(old_y.to(Device::cpu()), before));
  EXPECT_TRUE(same_bits(new_y.to(Device::cpu()), after));

  const std::int64_t transposed[] = {1, kernel.shape()[0]};
  values[0].strides = transposed;
  refused(lamella_model_enqueue_update(model.get(), names, values, 2, stream), "E_DEVICE", "a strided array is on cuda:0");
  values[0] = new_kernel.tensor;
  values[0].device_index = 1;
  refused(lamella_model_enqueue_update(model.get(), names, values, 2, stream), "E_DEVICE", "memory of cuda:0");
  refused(lamella_model_enqueue_update(nullptr, names, values, 2, stream), "E_ARGUMENT", "model: got NULL");
  values[0] = new_kernel.tensor;
  ok(lamella_model_update_weights(model.get(), names, values, 2));
  ok(lamella_model_enqueue(model.get(), &in.tensor, 1, &new_out.tensor, 1, nullptr));
  ASSERT_EQ(cudaStreamSynchronize(nullptr), cudaSuccess);
  EXPECT_TRUE(same_bits(new_y.to(Device::cpu()), after));
  ASSERT_EQ(cudaStreamDestroy(stream), cudaSuccess);
}

}  // namespace
}  // namespace lamella::test
