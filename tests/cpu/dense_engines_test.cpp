// SPDX-License-Identifier: Apache-2.0
// Tests of the CPU's Dense engines only; tests/device has those for every device.
#include <gmock/gmock.h>
#include <omp.h>

#include "cpu/simd.hpp"
#include "device/device_support.hpp"

#if defined(__SSE2__)
#include <xmmintrin.h>
#endif

namespace lamella::test {
namespace {

using ops::DenseDesc;

class EachCpuEngine : public testing::TestWithParam<std::string> {};

TEST_P(EachCpuEngine, KeepsTheCallersSettings) {
  omp_set_num_threads(5);
  const DenseDesc d{64, 128, 128, true, activation_of("tanh"), DType::float32};
  const auto call = [&] {
    std::vector<Bytes> srcs;
    srcs.push_back(stored(random_values(64 * 128, 1), DType::float32));
    (void)run(d, constants_of({random_values(128 * 128, 2), random_values(128, 3)}), std::move(srcs), DType::float32, 64 * 128,
              GetParam());
  };
#if defined(__SSE2__)
  const unsigned before = _mm_getcsr();
  _mm_setcsr(0x1F80U | 0x8040U);
  call();
  EXPECT_EQ(_mm_getcsr() & 0xFFC0U, 0x1F80U | 0x8040U);
  _mm_setcsr(before);
#endif
  call();
  EXPECT_EQ(omp_get_max_threads(), 5);
}

INSTANTIATE_TEST_SUITE_P(All, EachCpuEngine, testing::ValuesIn(core::cpu_backend().ops().engines()),
                         [](const auto& parameter) { return parameter.param; });

std::string chosen(Fusion fusion, const char* kind = "tanh", std::int64_t batch = 64, int threads = 1) {
  const DenseDesc d{batch, 64, 64, true, activation_of(kind), DType::float32, Math::exact, fusion};
  return core::cpu_backend()
      .ops()
      .plan(d, constants_of({std::vector<double>(64 * 64), std::vector<double>(64)}), {threads, 0}, {})
      .engine;
}

TEST(CpuDenseEnginesTest, AreChosenAsTheFusionAllows) {
  // oneDNN's product is for x86: faster at every size without AVX2, at none with it, and at large ones with AVX-512.
#if defined(__x86_64__)
  const bool own = cpu::best_isa() == cpu::Isa::avx2;
  const bool plain = cpu::best_isa() == cpu::Isa::generic;
#else
  const bool own = true;
  const bool plain = false;
#endif
  EXPECT_EQ(chosen(Fusion::automatic, "tanh", 1), "small");
  EXPECT_EQ(chosen(Fusion::none), plain ? "unfused" : "small_unfused");
  EXPECT_EQ(chosen(Fusion::none, "tanh", 100'000), own ? "small_unfused" : "unfused");
  EXPECT_EQ(chosen(Fusion::epilogue), plain ? "onednn_epilogue" : "small");
  EXPECT_EQ(chosen(Fusion::epilogue, "tanh", 100'000), own ? "small" : "onednn_epilogue");
  EXPECT_EQ(chosen(Fusion::library, "tanh", 100'000), "onednn_postop");
  EXPECT_EQ(chosen(Fusion::automatic, "tanh", 100'000, 2), "small") << "oneDNN is called for one thread";
  EXPECT_EQ(chosen(Fusion::automatic, "tanh", 100'000), own ? "small" : "onednn_postop");
}

TEST(CpuDenseEnginesTest, GiveTheirReasonsIfAllRefuse) {
  try {
    (void)chosen(Fusion::library, "selu");
    FAIL() << "oneDNN has no selu";
  } catch (const ArgumentError& e) {
    EXPECT_THAT(e.what(),
                testing::AllOf(testing::HasSubstr("no engine can do this"),
                               testing::HasSubstr("onednn_postop: oneDNN has no 'selu'"), testing::HasSubstr("[E_VALUE]")));
  }
  const DenseDesc integers{1, 1, 1, false, {}, DType::int8};
  EXPECT_THROW((void)core::cpu_backend().ops().plan(integers, constants_of({{1.0}}), {1, 0}, {}), ArgumentError);
}

TEST(CpuDenseEnginesTest, GiveARowTheSameBitsAtEverySmallBatchSize) {
  const auto x = random_values(50 * 100, 1);
  const auto constants = constants_of({random_values(100 * 70, 2), random_values(70, 3)});
  const auto at = [&](std::int64_t batch) {
    std::vector<Bytes> srcs;
    srcs.push_back(stored(x, DType::float32));
    return run(DenseDesc{batch, 100, 70, true, activation_of("gelu")}, constants, std::move(srcs), DType::float32,
               static_cast<std::size_t>(batch * 70), "small");
  };
  const auto all = at(50);
  for (const std::int64_t batch : {1, 2, 7, 49}) {
    const auto some = at(batch);
    EXPECT_TRUE(std::equal(some.begin(), some.end(), all.begin())) << batch;
  }
}

/// Kernels so large that packing rows pays, at sizes that are no multiple of tile, strip, panel or slice.
TEST(CpuDenseEnginesTest, GiveTheSameBitsForLargeKernels) {
  struct Sizes {
    std::int64_t batch, inputs, units;
  };
  for (const Sizes s : {Sizes{13, 1027, 515}, {145, 513, 777}, {301, 530, 513}}) {
    const auto count = [](std::int64_t a, std::int64_t b) { return static_cast<std::size_t>(a * b); };
    const auto x = rounded(random_values(count(s.batch, s.inputs), 4), DType::float32);
    const auto w = rounded(random_values(count(s.inputs, s.units), 5), DType::float32);
    const auto bias = rounded(random_values(count(s.units, 1), 6), DType::float32);
    const auto constants = constants_of({w, bias});
    const auto product = [&](std::int64_t first, std::int64_t rows, int threads) {
      const auto begin = x.begin() + first * s.inputs;
      std::vector<Bytes> srcs;
      srcs.push_back(stored({begin, begin + rows * s.inputs}, DType::float32));
      return run(DenseDesc{rows, s.inputs, s.units, true, activation_of("linear")}, constants, std::move(srcs), DType::float32,
                 count(rows, s.units), "small", threads);
    };
    const auto together = product(0, s.batch, 2);
    EXPECT_EQ(product(0, s.batch, 3), together);
    for (std::int64_t r = 0; r < s.batch; ++r) {
      const auto alone = product(r, 1, 2);
      ASSERT_TRUE(std::equal(alone.begin(), alone.end(), together.begin() + r * s.units)) << "row " << r;
      for (std::int64_t u = r % 7; u < s.units; u += 7) {
        double sum = bias[count(u, 1)];
        double magnitude = std::fabs(sum);
        for (std::int64_t k = 0; k < s.inputs; ++k) {
          const double term = x[count(r, s.inputs) + count(k, 1)] * w[count(k, s.units) + count(u, 1)];
          sum += term;
          magnitude += std::fabs(term);
        }
        const double bound = 4 * std::sqrt(static_cast<double>(s.inputs)) * roundoff(DType::float32) * magnitude;
        ASSERT_NEAR(alone[count(u, 1)], sum, bound) << "row " << r << ", unit " << u;
      }
    }
  }
}

}  // namespace
}  // namespace lamella::test
