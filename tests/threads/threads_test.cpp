// SPDX-License-Identifier: Apache-2.0
// One model, many threads: each gets the bits that a single thread gets, whatever the others do. LAMELLA_TEST_PREDICTS sets the
// number of predictions per thread.
#include <gtest/gtest.h>

#include <atomic>
#include <barrier>
#include <cfenv>
#include <cstdint>
#include <cstdlib>
#include <cstring>
#include <functional>
#include <lamella/lamella.hpp>
#include <stop_token>
#include <thread>
#include <vector>

namespace lamella {
namespace {

constexpr int kThreads = 16;
constexpr std::int64_t kMostRows = 9;

int predicts() {
  const char* given = std::getenv("LAMELLA_TEST_PREDICTS");
  return given == nullptr ? 200 : std::max(1, std::atoi(given));
}

std::string fixture(const char* name) { return std::string(LAMELLA_FIXTURES) + "/keras3/" + name + "/model.keras"; }

Model load(const char* name) { return Model::load(fixture(name), {.device = Device::cpu(), .threads = 1, .cached_programs = 4}); }

Tensor input_of(const Model& model, std::int64_t rows) {
  std::vector<std::int64_t> extents = model.input_shape();
  extents.insert(extents.begin(), rows);
  Tensor x{Shape(extents)};
  float value = -1.0F;
  for (float& element : x.span<float>()) element = value = value > 1.0F ? -1.0F : value + 0.0625F;
  return x;
}

std::vector<float> answer(const Model& model, std::int64_t rows) {
  const Tensor y = model.predict(input_of(model, rows));
  const auto values = y.span<float>();
  return {values.begin(), values.end()};
}

bool same_bits(const std::vector<float>& a, const std::vector<float>& b) {
  return a.size() == b.size() && (a.empty() || std::memcmp(a.data(), b.data(), a.size() * sizeof(float)) == 0);
}

/// Runs f(thread) on all threads at once.
void at_once(const std::function<void(int)>& f) {
  std::barrier start(kThreads);
  std::vector<std::thread> threads;
  for (int t = 0; t < kThreads; ++t) {
    threads.emplace_back([&, t] {
      start.arrive_and_wait();
      f(t);
    });
  }
  for (std::thread& thread : threads) thread.join();
}

/// answer(model, rows) for rows 0 .. kMostRows.
std::vector<std::vector<float>> answers(const Model& model) {
  std::vector<std::vector<float>> result;
  for (std::int64_t rows = 0; rows <= kMostRows; ++rows) result.push_back(answer(model, rows));
  return result;
}

TEST(SharedModel, ComputesTheSameBitsInSixteenThreads) {
  const Model model = load("dense_chain");
  const auto wanted = answers(model);
  std::atomic<int> wrong{0};
  at_once([&](int t) {
    for (int i = 0; i < predicts(); ++i) {
      const auto rows = static_cast<std::size_t>((i * 7 + t) % (kMostRows + 1));
      if (!same_bits(answer(model, static_cast<std::int64_t>(rows)), wanted[rows])) ++wrong;
    }
  });
  EXPECT_EQ(wrong, 0);
}

TEST(SharedModel, IsNotAffectedByChangesOfCopies) {
  const Model model = load("dense");
  const auto wanted = answers(model);
  const auto changed = answers(model.with_activation("dense", "tanh"));
  std::atomic<int> wrong{0};
  at_once([&](int t) {
    for (int i = 0; i < predicts() / 4 + 1; ++i) {
      const auto rows = static_cast<std::size_t>((i + t) % (kMostRows + 1));
      Model copy = model;
      if (t % 2 == 0) copy.set_activation("dense", "tanh");
      if (!same_bits(answer(copy, static_cast<std::int64_t>(rows)), (t % 2 == 0 ? changed : wanted)[rows])) ++wrong;
      if (i % 5 == 0) static_cast<void>(model.explain({.batch = i % 3}));
      if (i % 7 == 0) static_cast<void>(model.summary());
      if (!same_bits(answer(model, static_cast<std::int64_t>(rows)), wanted[rows])) ++wrong;
    }
  });
  EXPECT_EQ(wrong, 0);
}

TEST(SharedModel, IsRightBesideCancelledCalls) {
  const Model model = load("dense");
  const auto wanted = answers(model);
  constexpr std::int64_t kMany = 700;
  const std::vector<float> many = answer(model, kMany);
  const Tensor x = input_of(model, kMany);
  std::atomic<int> wrong{0};
  std::atomic<int> cancelled{0};
  at_once([&](int t) {
    for (int i = 0; i < predicts() / 10 + 1; ++i) {
      if (t % 2 == 0) {
        if (!same_bits(answer(model, t % kMostRows), wanted[static_cast<std::size_t>(t % kMostRows)])) ++wrong;
        continue;
      }
      std::stop_source stop;
      if (i % 2 == 0) stop.request_stop();  // else at any time during the call
      std::thread other([&stop] { stop.request_stop(); });
      try {
        const Tensor y = model.predict(x, stop.get_token());
        const auto values = y.span<float>();
        if (!same_bits({values.begin(), values.end()}, many)) ++wrong;
      } catch (const Error& error) {
        ++(error.code() == ErrorCode::cancelled ? cancelled : wrong);
      }
      other.join();
    }
  });
  EXPECT_EQ(wrong, 0);
  EXPECT_GT(cancelled, 0);
}

TEST(SharedModel, OutlivesItsMakers) {
  std::atomic<int> wrong{0};
  const auto wanted = answers(load("functional"));
  at_once([&](int) {
    for (int i = 0; i < predicts() / 50 + 1; ++i) {
      const auto model = std::make_unique<const Model>(load("functional"));
      const Model copy = *model;
      std::thread other([&copy, &wanted, &wrong] {
        if (!same_bits(answer(copy, 3), wanted[3])) ++wrong;
      });
      if (!same_bits(answer(*model, 2), wanted[2])) ++wrong;
      other.join();
    }
  });
  EXPECT_EQ(wrong, 0);
}

TEST(SharedModel, IsRightBesideFailingCalls) {
  const Model model = load("dense");
  const auto wanted = answers(model);
  std::atomic<int> wrong{0};
  at_once([&](int t) {
    for (int i = 0; i < predicts() / 2 + 1; ++i) {
      if (t % 3 == 0) {
        try {
          static_cast<void>(model.predict(Tensor::zeros(Shape{2, 1000 + i})));
          ++wrong;
        } catch (const ArgumentError&) {
        }
      } else if (!same_bits(answer(model, 4), wanted[4])) {
        ++wrong;
      }
    }
  });
  EXPECT_EQ(wrong, 0);
}

#if defined(__x86_64__)
std::uint32_t mxcsr() {
  std::uint32_t value = 0;
  asm volatile("stmxcsr %0" : "=m"(value));
  return value;
}
void set_mxcsr(std::uint32_t value) { asm volatile("ldmxcsr %0" : : "m"(value)); }
std::uint16_t x87_control() {
  std::uint16_t value = 0;
  asm volatile("fnstcw %0" : "=m"(value));
  return value;
}

/// Control bits of MXCSR: FTZ, rounding, masks, DAZ. The lower six are flags that any arithmetic sets.
constexpr std::uint32_t kControl = 0xFFC0;

class CallersFloatingPoint : public ::testing::TestWithParam<std::uint32_t> {};

TEST_P(CallersFloatingPoint, IsUnchangedByEveryCall) {
  const std::uint32_t before = mxcsr();
  const std::uint32_t given = (before & ~0x8040U) | GetParam();
  set_mxcsr(given);
  const std::uint16_t x87 = x87_control();
  const auto unchanged = [&](const char* call) {
    EXPECT_EQ(mxcsr() & kControl, given & kControl) << call;
    EXPECT_EQ(x87_control(), x87) << call;
  };
  {
    Model model = load("dense_chain");
    unchanged("load");
    static_cast<void>(answer(model, 300));
    unchanged("predict");
    model.set_activation(model.layers().back().name, "tanh");
    unchanged("set_activation");
    static_cast<void>(model.explain());
    static_cast<void>(model.summary());
    unchanged("explain, summary");
    static_cast<void>(input_of(model, 3).to(DType::bfloat16));
    unchanged("to");
    EXPECT_THROW(static_cast<void>(model.predict(Tensor::zeros(Shape{1, 2, 3, 4}))), ArgumentError);
    unchanged("predict of a wrong shape");
    EXPECT_THROW(static_cast<void>(Model::load("no such file")), LoadError);
    unchanged("load of nothing");
  }
  set_mxcsr(before);
}

INSTANTIATE_TEST_SUITE_P(FlushAndDenormals, CallersFloatingPoint, ::testing::Values(0U, 0x8000U, 0x0040U, 0x8040U));
#endif

}  // namespace
}  // namespace lamella
