// SPDX-License-Identifier: Apache-2.0
// Mistakes of a caller: each gives a typed error that says what to do, loses nothing, and leaves other models' bits unchanged.
#include <optional>
#include <thread>
#include <utility>

#include "cuda/cuda_support.hpp"
#include "device/device_support.hpp"

namespace lamella::test {
namespace {

using testing::AllOf;
using testing::HasSubstr;

/// Two devices, and on the first a bystander: a model that predicts before and after every mistake.
class CudaBadInputTest : public CudaTest {
 protected:
  void SetUp() override {
    restart_cuda({.devices = 2});
    x_ = random_rows(6, 7);
    set_to_work(on_cuda());
  }
  void TearDown() override { bystander_.reset(); }

  void set_to_work(const Options& options) {
    bystander_.emplace(model_of(small_spec(), options));
    for (int i = 0; i < 3; ++i) bits_ = values_of(bystander_->predict(x_));
  }

  /// Makes the mistake twice: each time it gives this error and leaves nothing behind, and the bystander gives the same bits.
  template <typename Kind, typename F>
  void expect_refused(ErrorCode code, const testing::Matcher<std::string>& says, const F& mistake) {
    const auto live = fake_cuda::live();
    for (int i = 0; i < 2; ++i) {
      try {
        mistake();
        ADD_FAILURE() << "nothing was thrown";
      } catch (const Kind& error) {
        EXPECT_EQ(error.code(), code) << error.what();
        EXPECT_THAT(std::string(error.what()), says);
      }
      EXPECT_EQ(fake_cuda::live(), live) << "something was lost";
      EXPECT_EQ(values_of(bystander_->predict(x_)), bits_);
    }
    EXPECT_THAT(fake_cuda::misuses(), testing::IsEmpty());
  }

  Tensor x_;
  std::optional<Model> bystander_;
  std::vector<float> bits_;
};

TEST_F(CudaBadInputTest, ADeviceThatDoesNotExist) {
  const auto says = AllOf(HasSubstr("cuda:2 does not exist"), HasSubstr("there are 2 CUDA devices, the first is cuda:0"));
  expect_refused<DeviceError>(ErrorCode::device, says, [] { static_cast<void>(model_of(small_spec(), on_cuda(2))); });
  expect_refused<DeviceError>(ErrorCode::device, says, [] { static_cast<void>(Model::load(mlp_path(), on_cuda(2))); });
  expect_refused<DeviceError>(ErrorCode::device, says, [] { static_cast<void>(Tensor({3}, DType::float32, Device::cuda(2))); });
  expect_refused<DeviceError>(ErrorCode::device, says, [&] { static_cast<void>(x_.to(Device::cuda(2))); });
  expect_refused<DeviceError>(ErrorCode::device, says, [] { static_cast<void>(engine_names(Device::cuda(2))); });
  expect_refused<ArgumentError>(ErrorCode::value, HasSubstr("allowed 0.."), [] { static_cast<void>(Device::cuda(-1)); });
  expect_refused<ArgumentError>(ErrorCode::value, HasSubstr("allowed auto, cpu, cuda, cuda:N"),
                                [] { static_cast<void>(Device::parse("cuda:two")); });
}

TEST_F(CudaBadInputTest, AMemoryLimitThatIsTooSmall) {
  const auto says = AllOf(HasSubstr("memory_limit"), HasSubstr("no room for"), HasSubstr("raise the limit"));
  for (const std::size_t limit : {1U, 100U, 1000U, 4000U}) {
    SCOPED_TRACE(limit);
    Options options = on_cuda();
    options.memory_limit = limit;
    expect_refused<Error>(ErrorCode::out_of_memory, says,
                          [&] { static_cast<void>(model_of(small_spec(), options).predict(x_)); });
  }
  // With fewer rows the same model works, before and after.
  Options options = on_cuda();
  options.memory_limit = 100'000;
  const Model model = model_of(small_spec(), options);
  const auto before = values_of(model.predict(x_));
  static_cast<void>(model.predict(x_));
  EXPECT_EQ(before, bits_);
  try {
    static_cast<void>(model.predict(random_rows(4000, 7)));
    ADD_FAILURE() << "100'000 bytes were enough";
  } catch (const Error& error) {
    EXPECT_EQ(error.code(), ErrorCode::out_of_memory);
    EXPECT_THAT(std::string(error.what()), AllOf(says, HasSubstr("of 100000 bytes are in use")));
  }
  EXPECT_EQ(values_of(model.predict(x_)), before);
}

TEST_F(CudaBadInputTest, ADTypeThatIsNotSupported) {
  for (const DType dtype : {DType::int8, DType::boolean, DType::uint64}) {
    Options options = on_cuda();
    options.dtype = dtype;
    expect_refused<ArgumentError>(ErrorCode::dtype,
                                  AllOf(HasSubstr(to_string(dtype)), HasSubstr("allowed float32, bfloat16, float16, float64")),
                                  [&] { static_cast<void>(model_of(small_spec(), options)); });
  }
  Options options = on_cuda();
  options.engine = "gemm_bias_cudnn";
  options.dtype = DType::float64;
  SpecBuilder builder(1);
  const auto gelu = builder.build({builder.dense(builder.input({7}), 7, 5, activation_of("gelu"))});
  const auto with_cudnn = [&] { static_cast<void>(model_of(gelu, options).predict(x_)); };
  EXPECT_THROW(with_cudnn(), ArgumentError);  // the first attempt makes a cuDNN handle, which the device keeps
  expect_refused<ArgumentError>(ErrorCode::value, HasSubstr("engine 'gemm_bias_cudnn' cannot do this: "), with_cudnn);

  const Tensor half = x_.to(DType::float16).to(Device::cuda(0));
  Tensor dst({6, 5}, DType::float32, Device::cuda(0));
  expect_refused<ArgumentError>(ErrorCode::dtype, HasSubstr("is float16, the model takes float32; Tensor::to(dtype) converts"),
                                [&] { bystander_->predict_into(half, dst); });
  const Tensor src = x_.to(Device::cuda(0));
  Tensor half_dst({6, 5}, DType::float16, Device::cuda(0));
  expect_refused<ArgumentError>(ErrorCode::shape, HasSubstr("is float16 (6, 5), the result is float32 (6, 5)"),
                                [&] { bystander_->predict_into(src, half_dst); });
}

TEST_F(CudaBadInputTest, AHostPointerWhereDeviceMemoryIsExpected) {
  Tensor src = x_.to(Device::cuda(0));
  Tensor dst({6, 5}, DType::float32, Device::cuda(0));
  Tensor host_dst({6, 5});
  const auto pinned = core::cuda_backend().allocate_pinned(0, x_.bytes());
  cudaStream_t stream = nullptr;
  ASSERT_EQ(cudaStreamCreateWithFlags(&stream, cudaStreamNonBlocking), cudaSuccess);
  const auto says = [](const char* what) {
    return AllOf(HasSubstr(core::format("{} should be on cuda:0, but is host memory", what)),
                 HasSubstr("Tensor::to(device) copies it there"));
  };
  for (const void* const data : {std::as_const(x_).data(), static_cast<const void*>(pinned.get())}) {
    const TensorView lie(data, x_.shape(), DType::float32, Device::cuda(0));
    expect_refused<ArgumentError>(ErrorCode::device, says("an input"), [&] { bystander_->predict_into(lie, dst); });
    expect_refused<ArgumentError>(ErrorCode::device, says("an input"), [&] { bystander_->predict_into(lie, dst, stream); });
  }
  const MutableTensorView lie(host_dst.data(), host_dst.shape(), DType::float32, Device::cuda(0));
  expect_refused<ArgumentError>(ErrorCode::device, says("an output"), [&] { bystander_->predict_into(src, lie); });
  expect_refused<ArgumentError>(ErrorCode::device, HasSubstr("is on cpu, the model on cuda:0; all must be on one"),
                                [&] { bystander_->predict_into(x_, dst); });
  bystander_->predict_into(src, dst, stream);  // a correct call still works, on the same stream
  ASSERT_EQ(cudaStreamSynchronize(stream), cudaSuccess);
  EXPECT_EQ(values_of(dst.to(Device::cpu())), bits_);
  ASSERT_EQ(cudaStreamDestroy(stream), cudaSuccess);
}

TEST_F(CudaBadInputTest, TensorsOfAnotherDevice) {
  Tensor here = x_.to(Device::cuda(0));
  Tensor dst({6, 5}, DType::float32, Device::cuda(0));
  Tensor there = x_.to(Device::cuda(1));
  Tensor there_dst({6, 5}, DType::float32, Device::cuda(1));
  expect_refused<ArgumentError>(
      ErrorCode::device, HasSubstr("is on cuda:1, the model on cuda:0; all must be on one device: Tensor::to(device) copies"),
      [&] { bystander_->predict_into(there, dst); });
  expect_refused<ArgumentError>(ErrorCode::device, AllOf(HasSubstr("] output '"), HasSubstr("is on cuda:1, the model on cuda:0")),
                                [&] { bystander_->predict_into(here, there_dst); });
  expect_refused<ArgumentError>(
      ErrorCode::device,
      AllOf(HasSubstr("is on cuda:1; host memory is expected"), HasSubstr("predict_into() takes device memory")),
      [&] { static_cast<void>(bystander_->predict(there)); });
  const TensorView lie(std::as_const(there).data(), there.shape(), DType::float32, Device::cuda(0));
  expect_refused<ArgumentError>(
      ErrorCode::device, HasSubstr("an input should be on cuda:0, but is memory of cuda:1; Tensor::to(device) copies it there"),
      [&] { bystander_->predict_into(lie, dst); });
  const Model other = model_of(small_spec(), on_cuda(1));  // a model on the tensors' own device accepts them
  other.predict_into(there, there_dst);
  EXPECT_EQ(values_of(there_dst.to(Device::cpu())), bits_);
}

/// Callers cannot share a session between threads: Model lends one to each call. So whenever a thread steps in between two CUDA
/// calls of another, both results are right, and the double, which watches library handles and streams, reports nothing.
TEST_F(CudaBadInputTest, ASessionIsNeverUsedByTwoThreadsAtOnce) {
  Options options = on_cuda();
  options.engine = "gemm_then_epilogue";  // the fastest engine on the double: there are hundreds of rounds
  set_to_work(options);
  const Tensor others = random_rows(6, 7, 9);
  const auto wanted = values_of(bystander_->predict(others));
  Tensor src = x_.to(Device::cuda(0));
  Tensor dst({6, 5}, DType::float32, Device::cuda(0));
  const Tensor others_src = others.to(Device::cuda(0));
  Tensor others_dst({6, 5}, DType::float32, Device::cuda(0));
  cudaStream_t streams[2] = {};
  for (cudaStream_t& stream : streams) ASSERT_EQ(cudaStreamCreateWithFlags(&stream, cudaStreamNonBlocking), cudaSuccess);
  const auto intrude = [&](int way) {  // from host memory, on the other thread's own stream, and on another stream
    if (way == 0) return values_of(bystander_->predict(others));
    bystander_->predict_into(others_src, others_dst, streams[way - 1]);
    EXPECT_EQ(cudaStreamSynchronize(streams[way - 1]), cudaSuccess);
    return values_of(others_dst.to(Device::cpu()));
  };
  const auto work = [&](bool on_host) {
    if (on_host) return values_of(bystander_->predict(x_));
    bystander_->predict_into(src, dst, streams[0]);
    EXPECT_EQ(cudaStreamSynchronize(streams[0]), cudaSuccess);
    return values_of(dst.to(Device::cpu()));
  };
  int met = 0;
  for (const bool on_host : {true, false}) {
    for (int way = 0; way < 3; ++way) {
      for (int nth = 1;; ++nth) {
        SCOPED_TRACE(core::format("way {}, in the call {}{}", way, nth, on_host ? " of predict" : " of predict_into"));
        const auto self = std::this_thread::get_id();
        int calls = 0;
        std::vector<float> found;
        fake_cuda::on_call([&](std::string_view) {
          if (std::this_thread::get_id() != self || ++calls != nth) return;
          std::thread([&] { found = intrude(way); }).join();
        });
        const auto mine = work(on_host);
        fake_cuda::on_call({});
        EXPECT_EQ(mine, bits_);
        if (found.empty()) break;  // the scenario makes fewer calls
        EXPECT_EQ(found, wanted);
        ++met;
      }
      ASSERT_THAT(fake_cuda::misuses(), testing::IsEmpty());
    }
  }
  EXPECT_GT(met, 30);
  for (const cudaStream_t stream : streams) ASSERT_EQ(cudaStreamDestroy(stream), cudaSuccess);
}

}  // namespace
}  // namespace lamella::test
