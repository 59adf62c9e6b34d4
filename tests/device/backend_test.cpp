// SPDX-License-Identifier: Apache-2.0
// The contract of core::Backend and core::Stream, the same for every device.
#include "core/backend.hpp"

#include <gmock/gmock.h>

#include <algorithm>
#include <cstdint>
#include <numeric>
#include <stdexcept>

#include "core/check.hpp"
#include "device/test_device.hpp"

namespace lamella::test {
namespace {

using testing::HasSubstr;
using testing::IsEmpty;
using testing::Not;
using Block = std::vector<unsigned char>;

core::Backend& backend() { return core::backend(device()); }
int index() { return device().index(); }

Block numbers(std::size_t n, unsigned char first = 1) {
  Block block(n);
  std::iota(block.begin(), block.end(), first);
  return block;
}

unsigned char* bytes(const std::shared_ptr<void>& memory) { return static_cast<unsigned char*>(memory.get()); }

Block read(const void* memory, std::size_t n) {
  Block block(n);
  backend().copy(index(), block.data(), memory, n);
  return block;
}

/// Device memory that holds these bytes.
std::shared_ptr<void> holding(const Block& block) {
  auto memory = backend().allocate(index(), block.size());
  backend().copy(index(), memory.get(), block.data(), block.size());
  return memory;
}

TEST(BackendTest, IsOneObjectAndSaysWhatItIs) {
  EXPECT_EQ(&backend(), &backend());
  EXPECT_EQ(backend().traits.is_host, core::is_host(device()));
  EXPECT_GE(backend().device_count(), 1);
  EXPECT_EQ(backend().why_unusable(index()), "");
  EXPECT_THAT(backend().describe(index()), Not(IsEmpty()));
  ASSERT_THAT(backend().libraries(), Not(IsEmpty()));
  EXPECT_THAT(describe(device()), HasSubstr(backend().libraries().front()));
  EXPECT_THAT(backend().ops().engines(), Not(IsEmpty()));
}

TEST(BackendTest, AllocatesAlignedMemoryOfAnySize) {
  for (const std::size_t size : {0U, 1U, 63U, 65U, 1'000'003U, 9'000'001U}) {
    const auto memory = backend().allocate(index(), size);
    ASSERT_NE(memory, nullptr) << size;
    EXPECT_EQ(reinterpret_cast<std::uintptr_t>(memory.get()) % 64, 0U) << size;
    EXPECT_NE(backend().allocate_pinned(index(), size), nullptr) << size;
  }
}

TEST(BackendTest, RunningOutOfMemorySaysHowMuchWasRequested) {
  const std::size_t bytes = std::size_t{1} << 62U;
  try {
    static_cast<void>(backend().allocate(index(), bytes));
    FAIL();
  } catch (const Error& error) {
    EXPECT_FALSE(backend().traits.is_host) << "host memory that runs out is std::bad_alloc";
    EXPECT_EQ(error.code(), ErrorCode::out_of_memory);
    EXPECT_THAT(error.what(), HasSubstr(std::to_string(bytes)));
  } catch (const std::bad_alloc& error) {
    EXPECT_TRUE(backend().traits.is_host);
    EXPECT_THAT(error.what(), HasSubstr(std::to_string(bytes)));
  }
}

TEST(BackendTest, CopiesFromTheHostWithinTheDeviceAndBack) {
  const Block given = numbers(1027);
  const auto one = holding(given);
  const auto other = holding(Block(1030, 0xEE));
  backend().copy(index(), bytes(other) + 1, bytes(one), given.size());
  EXPECT_EQ(read(bytes(other) + 1, given.size()), given);
  EXPECT_EQ(read(bytes(other), 1), Block{0xEE});
  EXPECT_EQ(read(bytes(other) + 1028, 2), Block(2, 0xEE));
  backend().copy(index(), nullptr, nullptr, 0);
}

TEST(BackendTest, FillsExactlyTheGivenBytes) {
  const auto memory = holding(Block(101, 0xEE));
  backend().fill(index(), bytes(memory) + 3, 0x5A, 67);
  backend().fill(index(), nullptr, 0x5A, 0);
  Block wanted(101, 0xEE);
  std::fill_n(wanted.begin() + 3, 67, static_cast<unsigned char>(0x5A));
  EXPECT_EQ(read(memory.get(), 101), wanted);
}

TEST(BackendTest, RecognisesForeignMemory) {
  const auto memory = backend().allocate(index(), 1);
  backend().expect_device_memory(index(), memory.get(), "it");
  backend().expect_device_memory(index(), nullptr, "it");
  const Block host(8);
  if (backend().traits.is_host) {
    backend().expect_device_memory(index(), host.data(), "it");
    return;
  }
  try {
    backend().expect_device_memory(index(), host.data(), "what was given");
    FAIL();
  } catch (const ArgumentError& error) {
    EXPECT_EQ(error.code(), ErrorCode::device);
    EXPECT_THAT(error.what(), HasSubstr("what was given"));
  }
}

TEST(BackendTest, HasADefaultStreamOrRefusesCallersStreams) {
  void* const stream = backend().traits.default_stream;
  EXPECT_FALSE(backend().is_captured(index(), stream));
  if (stream == nullptr)
    EXPECT_THROW(static_cast<void>(backend().stream_id(index(), nullptr)), DeviceError);
  else
    EXPECT_NE(backend().stream_id(index(), stream), 0U);
}

TEST(BackendTest, RelaxesCapturesAroundWorkAndLetsItsErrorsOut) {
  int calls = 0;
  backend().with_relaxed_capture([&] { ++calls; });
  EXPECT_EQ(calls, 1);
  EXPECT_THROW(backend().with_relaxed_capture([] { throw std::runtime_error("the work's own"); }), std::runtime_error);
  backend().release_retired();
}

TEST(StreamTest, DoesWorkInTheOrderInWhichItIsEnqueued) {
  const auto stream = backend().create_stream(index());
  const std::size_t n = 4099;
  const auto pinned = backend().allocate_pinned(index(), n);
  const auto one = holding(Block(n, 0xEE));
  const auto other = holding(Block(n, 0xEE));
  std::iota(bytes(pinned), bytes(pinned) + n, static_cast<unsigned char>(7));
  stream->switch_to(nullptr);
  stream->copy(one.get(), pinned.get(), n);
  stream->copy(other.get(), one.get(), n);
  stream->copy(one.get(), bytes(other) + n / 2, n / 2);
  stream->copy(nullptr, nullptr, 0);
  stream->synchronize();
  EXPECT_TRUE(stream->is_idle());
  EXPECT_EQ(stream->id(), 0U);
  const Block wanted = numbers(n, 7);
  EXPECT_EQ(read(other.get(), n), wanted);
  EXPECT_EQ(read(one.get(), n / 2), Block(wanted.begin() + n / 2, wanted.begin() + n / 2 * 2));
}

/// dst[i] = relu(src[i]) on a stream.
class Relu {
 public:
  explicit Relu(core::Stream& stream)
      : stream_(stream),
        choice_(device_ops().plan(
            ops::ActivationDesc{.elements = 3, .activation = activation_of("relu"), .dtype = DType::float32},
            std::make_shared<const ops::Constants>(std::vector<std::shared_ptr<const Tensor>>{}), context(), {})) {}
  void execute() const {
    const void* const src = x.data();
    choice_.plan->execute({.srcs = {&src, 1}, .dst = y.data(), .stream = &stream_});
  }
  [[nodiscard]] std::vector<float> result() const {
    const Tensor host = std::as_const(y).to(Device::cpu());
    return {host.span<float>().begin(), host.span<float>().end()};
  }
  void set(const std::vector<float>& values) {
    backend().copy(index(), x.data(), values.data(), values.size() * sizeof(float));
    y = Tensor::zeros({3}, DType::float32, device());
  }

  Tensor x = Tensor::zeros({3}, DType::float32, device());
  mutable Tensor y = Tensor::zeros({3}, DType::float32, device());

 private:
  core::Stream& stream_;
  ops::Choice choice_;
};

TEST(StreamTest, ExecutesPlansAfterAbandonedWork) {
  const auto stream = backend().create_stream(index());
  Relu relu(*stream);
  relu.set({-1, 0, 2});
  try {
    const core::Enqueueing enqueueing(*stream);
    relu.execute();
    throw std::runtime_error("in the middle");
  } catch (const std::runtime_error&) {
  }
  stream->synchronize();
  EXPECT_EQ(relu.result(), (std::vector<float>{0, 0, 2}));
  relu.set({5, -6, 7});
  core::Enqueueing enqueueing(*stream);
  relu.execute();
  enqueueing.done();
  stream->synchronize();
  EXPECT_EQ(relu.result(), (std::vector<float>{5, 0, 7}));
}

TEST(StreamTest, CapturesAGraphOrSaysWhyThereIsNone) {
  const auto stream = backend().create_stream(index());
  Relu relu(*stream);
  {
    core::Enqueueing enqueueing(*stream);
    relu.execute();  // a program runs before it is captured
    enqueueing.done();
    stream->synchronize();
  }
  relu.set({-1, 0, 2});
  core::NotCaptured why_not;
  const auto graph = stream->capture([&] { relu.execute(); }, why_not);
  EXPECT_EQ(relu.result(), (std::vector<float>{0, 0, 0})) << "capturing must not run the work";
  ASSERT_EQ(graph != nullptr, backend().traits.captures) << why_not.why;
  if (!graph) {
    EXPECT_THAT(why_not.why, HasSubstr("no graphs"));
    EXPECT_FALSE(why_not.disturbed);
    return;
  }
  for (const float first : {3.0F, -4.0F}) {
    const std::vector<float> values{first, 1, -1};
    backend().copy(index(), relu.x.data(), values.data(), sizeof(float) * 3);
    stream->launch(*graph);
    stream->synchronize();
    EXPECT_EQ(relu.result(), (std::vector<float>{std::max(first, 0.0F), 1, 0}));
  }
}

}  // namespace
}  // namespace lamella::test
