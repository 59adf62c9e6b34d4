// SPDX-License-Identifier: Apache-2.0
// Memory, transfers, driver states and lost devices.
#include <cstdlib>

#include "cuda/backend.hpp"
#include "cuda/cuda_support.hpp"
#include "cuda/status.hpp"

namespace lamella::test {
namespace {

using testing::AllOf;
using testing::HasSubstr;

class CudaDeviceTest : public CudaTest {};

template <typename F>
std::string message_of(F&& f, ErrorCode code) {
  try {
    f();
  } catch (const Error& error) {
    EXPECT_EQ(error.code(), code) << error.what();
    return error.what();
  }
  ADD_FAILURE() << "nothing was thrown";
  return {};
}

struct DriverState {
  int version;
  cudaError_t error;
  const char* says;
};

TEST_F(CudaDeviceTest, ExplainsProblemsOfTheDriver) {
  for (const auto& [version, error, says] :
       {DriverState{0, cudaErrorInsufficientDriver, "no NVIDIA driver was found"},
        {12000, cudaErrorInsufficientDriver, "supports CUDA 12.0, this build of lamella needs CUDA 13.0"},
        {13000, cudaErrorNoDevice, "CUDA_VISIBLE_DEVICES"},
        {13000, cudaErrorSystemDriverMismatch, "reboot"},
        {13000, cudaErrorCompatNotSupportedOnDevice, "compatibility package"},
        {13000, cudaErrorSymbolNotFound, "incomplete"},
        {13000, cudaErrorUnknown, "cudaErrorUnknown"}}) {
    fake_cuda::Options options;
    options.driver_version = version;
    options.driver_error = error;
    restart_cuda(options);
    EXPECT_THAT(why_no_cuda(), HasSubstr(says));
    EXPECT_EQ(resolve(Device::automatic()), Device::cpu());
    EXPECT_THAT(message_of([] { static_cast<void>(Model::load(mlp_path(), on_cuda())); }, ErrorCode::device), HasSubstr(says));
    EXPECT_EQ(Model::load(mlp_path()).device(), Device::cpu());
  }
  restart_cuda();
  EXPECT_EQ(why_no_cuda(), "");
  EXPECT_EQ(resolve(Device::automatic()), Device::cuda(0));
}

TEST_F(CudaDeviceTest, DescribesADeviceAndItsLibraries) {
  EXPECT_THAT(describe(Device::cuda(0)),
              testing::MatchesRegex(".*, compute capability [0-9]+\\.[0-9]+, [0-9]+ GiB, [0-9]+ SMs; CUDA driver "
                                    "[0-9.]+, CUDA runtime [0-9.]+, cuBLASLt [0-9.]+, cuDNN[ :].*"));
  EXPECT_EQ(describe(Device::automatic()), describe(Device::cuda(0)));
  EXPECT_THROW(static_cast<void>(describe(Device::cuda(7))), DeviceError);
}

TEST_F(CudaDeviceTest, RefusesADeviceThatDoesNotExist) {
  restart_cuda({.devices = 2});
  EXPECT_EQ(available_devices().size(), 3U);
  EXPECT_THAT(message_of([] { static_cast<void>(Tensor({3}, DType::float32, Device::cuda(2))); }, ErrorCode::device),
              AllOf(HasSubstr("cuda:2 does not exist"), HasSubstr("there are 2")));
}

TEST_F(CudaDeviceTest, OneStreamServesTransfersThatFollowEachOther) {
  static_cast<void>(random_rows(3, 1).to(Device::cuda(0)));
  fake_cuda::clear_call_log();
  const Tensor there = random_rows(5, 1).to(Device::cuda(0));
  static_cast<void>(Tensor::zeros({7}, DType::float32, Device::cuda(0)));
  static_cast<void>(there.to(Device::cpu()));
  EXPECT_EQ(fake_cuda::count_calls("cudaMemcpyAsync"), 2U);
  EXPECT_EQ(fake_cuda::count_calls("cudaStreamCreateWithFlags"), 0U);
}

TEST_F(CudaDeviceTest, CopiesTensorsToTheDeviceAndBack) {
  restart_cuda({.devices = 2});
  for (const std::int64_t n : {0, 1, 3, 1027}) {
    const Tensor host = random_rows(n, 1);
    const Tensor there = host.to(Device::cuda(1));
    EXPECT_EQ(there.device(), Device::cuda(1));
    EXPECT_EQ(values_of(there.clone().to(Device::cuda(0)).to(Device::cpu())), values_of(host));
    EXPECT_EQ(values_of(Tensor::zeros({n}, DType::float32, Device::cuda(1)).to(Device::cpu())),
              std::vector<float>(static_cast<std::size_t>(n)));
    EXPECT_THROW(static_cast<void>(there.span<float>()), ArgumentError);
  }
}

TEST_F(CudaDeviceTest, SaysHowMuchMemoryWasRequestedAndIsFree) {
  restart_cuda({.memory = std::size_t{64} << 20U});
  const Tensor kept({1 << 20}, DType::float32, Device::cuda(0));
  EXPECT_THAT(message_of([] { static_cast<void>(Tensor({1 << 25}, DType::float32, Device::cuda(0))); }, ErrorCode::out_of_memory),
              AllOf(HasSubstr("134217728 bytes"), HasSubstr("of 67108864 bytes are free")));
  const Tensor after({1 << 22}, DType::float32, Device::cuda(0));  // the refusal has no lasting effect
  EXPECT_EQ(after.bytes(), std::size_t{16} << 20U);
}

TEST_F(CudaDeviceTest, AnIllegalAccessLosesOnlyThatDevice) {
  for (const fake_cuda::Fault fault : {fake_cuda::Fault::sticky, fake_cuda::Fault::late}) {
    restart_cuda({.devices = 2});
    const Tensor x = random_rows(3, 7);
    {
      const Model model = model_of(small_spec(), on_cuda());
      static_cast<void>(model.predict(x));
      fake_cuda::fail_nth("kernel", 1, fault);
      EXPECT_THAT(message_of(
                      [&] {
                        static_cast<void>(model.predict(x));
                        static_cast<void>(model.predict(x));
                      },
                      ErrorCode::device_lost),
                  AllOf(HasSubstr("cuda:0"), HasSubstr("cudaErrorIllegalAddress")));
      const std::string again = message_of([&] { static_cast<void>(model.predict(x)); }, ErrorCode::device_lost);
      EXPECT_THAT(again, HasSubstr("until this process is restarted"));
      EXPECT_THAT(message_of([] { static_cast<void>(Tensor({3}, DType::float32, Device::cuda(0))); }, ErrorCode::device_lost),
                  again);
      EXPECT_EQ(model_of(small_spec(), {.device = Device::cpu()}).predict(x).shape(), (Shape{3, 5}));
      fake_cuda::no_faults();  // the other device has its own context
      EXPECT_EQ(model_of(small_spec(), on_cuda(1)).predict(x).shape(), (Shape{3, 5}));
    }
  }
  restart_cuda();
}

TEST_F(CudaDeviceTest, KnowsWhichErrorsADeviceDoesNotSurvive) {
  for (const cudaError_t fatal :
       {cudaErrorECCUncorrectable, cudaErrorHardwareStackError, cudaErrorIllegalInstruction, cudaErrorMisalignedAddress,
        cudaErrorInvalidAddressSpace, cudaErrorInvalidPc, cudaErrorIllegalAddress, cudaErrorAssert, cudaErrorLaunchFailure,
        cudaErrorContained, cudaErrorTensorMemoryLeak, cudaErrorMpsClientTerminated, cudaErrorExternalDevice,
        cudaErrorInitializationError, cudaErrorCudartUnloading, cudaErrorLaunchTimeout, cudaErrorNvlinkUncorrectable,
        cudaErrorContextIsDestroyed}) {
    restart_cuda();
    EXPECT_THAT(message_of([&] { cuda::check(fatal, 0, "somecall"); }, ErrorCode::device_lost), HasSubstr("somecall"));
    EXPECT_TRUE(cuda::is_lost(0));
    EXPECT_THAT(message_of([&] { cuda::check(cudaErrorLaunchFailure, 0, "later"); }, ErrorCode::device_lost),
                HasSubstr("somecall"))
        << "the first reason stays";
    restart_cuda();
    cuda::check_quietly(fatal, 0, "quiet");
    EXPECT_TRUE(cuda::is_lost(0));
  }
  for (const cudaError_t passing :
       {cudaErrorInvalidValue, cudaErrorMemoryAllocation, cudaErrorNotReady, cudaErrorInvalidConfiguration}) {
    restart_cuda();
    EXPECT_THROW(cuda::check(passing, 0, "somecall"), Error);
    cuda::check_quietly(passing, 0, "quiet");
    EXPECT_FALSE(cuda::is_lost(0));
  }
}

TEST_F(CudaDeviceTest, PendingErrorsOfOthersAreIgnored) {
  const Model model = model_of(small_spec(), on_cuda());
  fake_cuda::set_last_error(cudaErrorInvalidValue);
  EXPECT_EQ(model.predict(random_rows(3, 7)).shape(), (Shape{3, 5}));
  static_cast<void>(cudaGetLastError());
}

TEST_F(CudaDeviceTest, TellsHostMemoryFromDeviceMemory) {
  restart_cuda({.devices = 2});
  const Model model = model_of(small_spec(), on_cuda());
  Tensor host = random_rows(3, 7);
  Tensor elsewhere = host.to(Device::cuda(1));
  Tensor dst({3, 5}, DType::float32, Device::cuda(0));
  const TensorView lie(host.data(), host.shape(), DType::float32, Device::cuda(0));
  EXPECT_THAT(message_of([&] { model.predict_into(lie, dst); }, ErrorCode::device),
              HasSubstr("an input should be on cuda:0, but is host memory"));
  const TensorView other(elsewhere.data(), host.shape(), DType::float32, Device::cuda(0));
  EXPECT_THAT(message_of([&] { model.predict_into(other, dst); }, ErrorCode::device), HasSubstr("but is memory of cuda:1"));
  EXPECT_THAT(message_of([&] { model.predict_into(host, dst); }, ErrorCode::device), HasSubstr("is on cpu"));
  EXPECT_THAT(message_of([&] { static_cast<void>(model.predict(elsewhere)); }, ErrorCode::device),
              HasSubstr("host memory is expected"));
}

}  // namespace
}  // namespace lamella::test
