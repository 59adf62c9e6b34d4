// SPDX-License-Identifier: Apache-2.0
#include <functional>
#include <string>
#include <vector>

#include <gmock/gmock.h>

#include "tests/kernels/kernel_support.hpp"
#include "tests/ptx/program.hpp"
#include "tests/ptx/runtime.hpp"

namespace {

using lamella::DType;
using lamella::test::Buffer;

TEST(PtxKernelsTest, EveryKernelIsMadeOfKnownInstructions) {
  std::size_t kernels = 0;
  for (const ptx::Module& module : ptx::registry::modules()) {
    for (const std::string& kernel : module.kernels()) {
      EXPECT_NO_THROW({ EXPECT_FALSE(module.program(kernel).code.empty()); }) << kernel;
      ++kernels;
    }
  }
  EXPECT_GE(kernels, 500U);
}

TEST(PtxKernelsTest, AnAllocationThatIsOneElementShortIsFound) {
  Buffer memory(lamella::test::random_values(33, 7), DType::float32);
  ptx::runtime::memory().remove(memory.data());
  ptx::runtime::memory().add(memory.data(), 32 * sizeof(float), "the short one");
  ASSERT_EQ(
      lamella::kernels::elementwise({lamella::ActivationKind::Tanh}, DType::float32, memory.data(), memory.data(), 33, nullptr),
      cudaSuccess);
  const std::vector<ptx::Finding> findings = ptx::runtime::take_findings();
  ASSERT_EQ(findings.size(), 2U);  // the load and the store
  EXPECT_EQ(findings[0].fault, ptx::Fault::bounds);
  EXPECT_THAT(findings[0].what, testing::HasSubstr("128 bytes into the short one, which has 128"));
}

TEST(PtxKernelsTest, GatherCountsFromTheBackAndGivesNaNWhereThereIsNoRow) {
  constexpr std::int64_t kRows = 7;
  for (const DType dtype : lamella::test::kFloating) {
    for (const DType index : {DType::int32, DType::int64, DType::float32, DType::float64}) {
      for (const std::int64_t width : {1, 3, 130}) {
        const std::vector<double> rows = lamella::test::random_values(kRows * width, 5, dtype);
        Buffer table(rows, lamella::test::compute_of(dtype));
        const std::vector<double> wanted = {0, 6, -1, -7, 7, -8, 3};
        Buffer src(wanted, index);
        Buffer dst(static_cast<std::int64_t>(wanted.size()) * width, dtype);
        ASSERT_EQ(lamella::kernels::gather({.dtype = dtype,
                                            .index = index,
                                            .src = src.data(),
                                            .table = table.data(),
                                            .dst = dst.data(),
                                            .indices = static_cast<std::int64_t>(wanted.size()),
                                            .rows = kRows,
                                            .width = width},
                                           nullptr),
                  cudaSuccess);
        EXPECT_TRUE(dst.guarded());
        for (std::size_t i = 0; i < wanted.size(); ++i) {
          const auto row = static_cast<std::int64_t>(wanted[i] < 0 ? wanted[i] + kRows : wanted[i]);
          for (std::int64_t k = 0; k < width; ++k) {
            const double got = dst[i * static_cast<std::size_t>(width) + static_cast<std::size_t>(k)];
            if (row < 0 || row >= kRows) {
              ASSERT_TRUE(std::isnan(got)) << wanted[i];
            } else {
              ASSERT_EQ(got, rows[static_cast<std::size_t>(row * width + k)]) << wanted[i];
            }
          }
        }
      }
    }
  }
}

/// Faults planted into what nvcc made.
class PtxPlantedTest : public testing::Test {
 protected:
  void TearDown() override { ptx::registry::edit(nullptr); }

  static std::vector<ptx::Finding> softmax(std::int64_t length) {
    Buffer memory(lamella::test::random_values(length, 71), DType::float32);
    const lamella::kernels::Rowwise args{
        lamella::ActivationKind::Softmax, DType::float32, memory.data(), memory.data(), nullptr, 1, length, 1};
    EXPECT_EQ(lamella::kernels::rowwise(args, nullptr), cudaSuccess);
    return ptx::runtime::take_findings();
  }
};

MATCHER_P(FaultIs, fault, "") { return arg.fault == fault; }

TEST_F(PtxPlantedTest, BarriersTakenOutOfSoftmaxAreRaces) {
  EXPECT_THAT(softmax(1100), testing::IsEmpty());
  ptx::registry::edit_statements("bar.sync", [](const std::string&) { return ""; });
  EXPECT_THAT(softmax(1100), testing::Contains(FaultIs(ptx::Fault::race)));
}

TEST_F(PtxPlantedTest, ShufflesOfHalfAWarpAreFound) {
  ptx::registry::edit_statements(
      "shfl.sync", [](const std::string& statement) { return statement.substr(0, statement.rfind(',')) + ", 65535"; });
  EXPECT_THAT(softmax(60), testing::Contains(FaultIs(ptx::Fault::lanes)));
}

TEST_F(PtxPlantedTest, StoresThatAreFourBytesOffAreFound) {
  ptx::registry::edit_statements(
      "st.global.f32", [](const std::string& statement) { return std::string(statement).insert(statement.find(']'), "+4"); });
  const std::vector<ptx::Finding> findings = softmax(31);
  ASSERT_THAT(findings, testing::Contains(FaultIs(ptx::Fault::bounds)));
  EXPECT_THAT(findings[0].what, testing::HasSubstr("124 bytes into an allocation, which has 124"));
}

}  // namespace
