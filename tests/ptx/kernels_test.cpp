// SPDX-License-Identifier: Apache-2.0
#include <functional>
#include <string>
#include <vector>

#include <gmock/gmock.h>

#include "kernels/dequantized_mma.hpp"
#include "kernels/mma_float32.hpp"
#include "kernels/mma_layout.hpp"
#include "tests/kernels/quantized_support.hpp"
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

/// Faults planted into PTX that nvcc compiled.
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
  ptx::registry::edit_statements("st.global.f32", ptx::registry::four_bytes_on);
  const std::vector<ptx::Finding> findings = softmax(31);
  ASSERT_THAT(findings, testing::Contains(FaultIs(ptx::Fault::bounds)));
  EXPECT_THAT(findings[0].what, testing::HasSubstr("124 bytes into an allocation, which has 124"));
}

/// A product of 33 rows, 70 inputs and 65 units in float16 with that tile; `wrong` describes wrong results.
std::vector<ptx::Finding> mma(lamella::kernels::MmaTile tile, int* wrong = nullptr) {
  const lamella::kernels::MmaLayout layout{70, 65};
  std::vector<double> weights(static_cast<std::size_t>(layout.elements()));
  for (std::int64_t i = 0; i < 70; ++i) {
    for (std::int64_t u = 0; u < 65; ++u) weights[static_cast<std::size_t>(layout.at(i, u))] = static_cast<double>((i + u) % 3);
  }
  std::vector<double> rows(33 * 70);
  for (std::size_t i = 0; i < rows.size(); ++i) rows[i] = static_cast<double>(i % 5);
  Buffer src(rows, DType::float16);
  Buffer kernel(weights, DType::float16, true);
  Buffer dst(33 * 65, DType::float16);
  EXPECT_EQ(
      lamella::kernels::mma_gemm({{}, DType::float16, src.data(), kernel.data(), nullptr, dst.data(), 33, 70, 65}, tile, nullptr),
      cudaSuccess);
  for (std::int64_t r = 0; wrong != nullptr && r < 33; ++r) {
    for (std::int64_t u = 0; u < 65; ++u) {
      double sum = 0;
      for (std::int64_t i = 0; i < 70; ++i) sum += static_cast<double>((r * 70 + i) % 5 * ((i + u) % 3));
      *wrong += dst[static_cast<std::size_t>(r * 65 + u)] != sum ? 1 : 0;
    }
  }
  return ptx::runtime::take_findings();
}

class PtxPlantedMmaTest : public PtxPlantedTest, public testing::WithParamInterface<lamella::kernels::MmaTile> {
 protected:
  static bool has_tensor_cores() {
    int architecture = 0;
    EXPECT_EQ(lamella::kernels::has_image(architecture), cudaSuccess);
    return architecture >= lamella::kernels::kMmaArchitecture;
  }
};

TEST_P(PtxPlantedMmaTest, CodeForOlderDevicesTraps) {
  int wrong = 0;
  if (has_tensor_cores()) {
    EXPECT_THAT(mma(GetParam(), &wrong), testing::IsEmpty());
    EXPECT_EQ(wrong, 0);
  } else {
    EXPECT_THAT(mma(GetParam()), testing::ElementsAre(FaultIs(ptx::Fault::trap)));
  }
}

TEST_P(PtxPlantedMmaTest, WaitsAndBarriersTakenOutAreFound) {
  if (!has_tensor_cores()) GTEST_SKIP() << "the kernel only traps";
  const auto without = [](const char* statement) {
    ptx::registry::edit_statements(statement, [](const std::string&) { return ""; });
    return mma(GetParam());
  };
  EXPECT_THAT(without("cp.async.wait_group"), testing::Contains(FaultIs(ptx::Fault::in_flight)));
  EXPECT_THAT(without("cp.async.commit_group"), testing::Contains(FaultIs(ptx::Fault::in_flight)));
  EXPECT_THAT(without("bar.sync"), testing::Contains(FaultIs(ptx::Fault::race)));
}

TEST_P(PtxPlantedMmaTest, FragmentsInTheWrongPlaceAreWrongResults) {
  if (!has_tensor_cores()) GTEST_SKIP() << "the kernel only traps";
  ptx::registry::edit_statements("mma.sync", [](const std::string& statement) {  // b's words exchanged
    const std::size_t open = statement.find('{', statement.find('{', statement.find('{') + 1) + 1);
    const std::size_t comma = statement.find(',', open);
    const std::size_t close = statement.find('}', open);
    return statement.substr(0, open + 1) + statement.substr(comma + 1, close - comma - 1) + "," +
           statement.substr(open + 1, comma - open - 1) + statement.substr(close);
  });
  int wrong = 0;
  EXPECT_THAT(mma(GetParam(), &wrong), testing::IsEmpty());
  EXPECT_GT(wrong, 0);
}

TEST_P(PtxPlantedMmaTest, WaitsAndBarriersOfFloat32TakenOutAreFound) {
  if (!has_tensor_cores()) GTEST_SKIP() << "the kernel only traps";
  const auto without = [](const char* statement) {
    ptx::registry::edit_statements(statement, [](const std::string&) { return ""; });
    Buffer src(std::vector<double>(65 * 70, 1), DType::float32);
    Buffer kernel(std::vector<double>(lamella::kernels::MmaFloat32Layout{70, 65}.elements(), 0), DType::bfloat16, true);
    Buffer dst(65 * 65, DType::float32);
    const lamella::kernels::Dense args{{}, DType::float32, src.data(), kernel.data(), nullptr, dst.data(), 65, 70, 65};
    EXPECT_EQ(lamella::kernels::mma_gemm_float32(args, GetParam(), nullptr), cudaSuccess);
    return ptx::runtime::take_findings();
  };
  EXPECT_THAT(without("no such statement"), testing::IsEmpty());
  EXPECT_THAT(without("cp.async.wait_group"), testing::Contains(FaultIs(ptx::Fault::in_flight)));
  EXPECT_THAT(without("cp.async.commit_group"), testing::Contains(FaultIs(ptx::Fault::in_flight)));
  EXPECT_THAT(without("bar.sync"), testing::Contains(FaultIs(ptx::Fault::race)));
}

enum class Quantized { rows, floats, floats_mma };

/// A layer of 33 rows, 700 inputs and 20 units whose integers are known; `wrong` counts wrong results.
std::vector<ptx::Finding> quantized(Quantized kind, bool int4, int* wrong = nullptr) {
  const DType dtype = kind == Quantized::floats_mma ? DType::bfloat16 : DType::float32;
  const auto q = lamella::test::random_integers(700 * 20, int4, 3);
  std::vector<double> rows(33 * 700);
  for (std::size_t i = 0; i < rows.size(); ++i) rows[i] = i % 700 == 0 ? 127 : static_cast<double>(i % 5) - 2;
  Buffer src(rows, dtype);
  Buffer weights(lamella::test::bytes_of({700, 20, int4}, q), DType::uint8, true);
  Buffer scale(std::vector<double>(20, 1), DType::float32);
  Buffer dst(33 * 20, dtype);
  lamella::kernels::QuantizedDense args;
  args.dtype = dtype;
  args.int4 = int4;
  args.quantizes = kind == Quantized::rows;
  args.epsilon = 0;
  args.batch = 33;
  args.inputs = 700;
  args.units = 20;
  args.src = src.data();
  args.weights = weights.data();
  args.scale = scale.data();
  args.dst = dst.data();
  Buffer workspace(static_cast<std::int64_t>(lamella::kernels::quantized_dense_workspace(args)), DType::uint8, true);
  args.workspace = workspace.data();
  EXPECT_EQ(kind == Quantized::floats_mma ? lamella::kernels::dequantized_mma(args, nullptr)
                                          : lamella::kernels::quantized_dense(args, nullptr),
            cudaSuccess);
  for (std::size_t r = 0; wrong != nullptr && r < 33; ++r) {
    for (std::size_t u = 0; u < 20; ++u) {
      double sum = 0;
      for (std::size_t i = 0; i < 700; ++i) sum += rows[r * 700 + i] * q[i * 20 + u];
      *wrong += dst[r * 20 + u] != Buffer(std::vector<double>{sum}, dtype)[0] ? 1 : 0;
    }
  }
  return ptx::runtime::take_findings();
}

/// Columns of the results exchanged.
std::string exchanged(const std::string& statement) {
  const std::size_t open = statement.find('{') + 1;
  const std::size_t comma = statement.find(',', open);
  const std::size_t next = statement.find_first_of(",}", comma + 1);
  return statement.substr(0, open) + statement.substr(comma + 1, next - comma - 1) + "," + statement.substr(open, comma - open) +
         statement.substr(next);
}

TEST_F(PtxPlantedTest, FaultsInQuantizedLayersAreFound) {
  int architecture = 0;
  ASSERT_EQ(lamella::kernels::has_image(architecture), cudaSuccess);
  const bool has_mma = architecture >= lamella::kernels::kMmaArchitecture;
  for (const bool int4 : {false, true}) {
    for (const Quantized kind : {Quantized::rows, Quantized::floats, Quantized::floats_mma}) {
      if (kind == Quantized::floats_mma && !has_mma) {
        EXPECT_THAT(quantized(kind, int4), testing::ElementsAre(FaultIs(ptx::Fault::trap)));
        continue;
      }
      int wrong = 0;
      EXPECT_THAT(quantized(kind, int4, &wrong), testing::IsEmpty());
      EXPECT_EQ(wrong, 0);
      const auto without = [&](const char* statement) {
        ptx::registry::edit_statements(statement, [](const std::string&) { return ""; });
        const auto findings = quantized(kind, int4);
        ptx::registry::edit(nullptr);
        return findings;
      };
      EXPECT_THAT(without("bar.sync"), testing::Contains(FaultIs(ptx::Fault::race)));
      if (kind == Quantized::floats) {
        EXPECT_THAT(without("bar.warp.sync"), testing::Contains(FaultIs(ptx::Fault::race)));
      } else {
        ptx::registry::edit_statements("mma.sync", exchanged);
        quantized(kind, int4, &wrong);
        EXPECT_GT(wrong, 0);
        ptx::registry::edit(nullptr);
      }
      if (!has_mma) continue;
      EXPECT_THAT(without("cp.async.wait_group"), testing::Contains(FaultIs(ptx::Fault::in_flight)));
      EXPECT_THAT(without("cp.async.commit_group"), testing::Contains(FaultIs(ptx::Fault::in_flight)));
    }
  }
}

INSTANTIATE_TEST_SUITE_P(Tiles, PtxPlantedMmaTest,
                         testing::Values(lamella::kernels::MmaTile::few_rows, lamella::kernels::MmaTile::many_rows));

}  // namespace
