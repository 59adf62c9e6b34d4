// SPDX-License-Identifier: Apache-2.0
// Layers of few rows, each of which begins before the one before it has ended.
#include <array>
#include <cmath>
#include <optional>
#include <vector>

#include <gmock/gmock.h>

#include "kernels/dequantized_mma.hpp"
#include "tests/kernels/few_rows.hpp"
#include "tests/kernels/quantized_support.hpp"
#include "tests/ptx/runtime.hpp"

namespace lamella::test {
namespace {

using kernels::Overlap;
using testing::Contains;
using testing::IsEmpty;

bool can_overlap() {
  int architecture = 0;
  EXPECT_EQ(kernels::has_image(architecture), cudaSuccess);
  return architecture >= kernels::kOverlapArchitecture;
}

class PtxKernelsOverlapTest : public testing::TestWithParam<DType> {
 protected:
  void TearDown() override { ptx::registry::edit(nullptr); }

  /// The results of layers of these widths, the first that of the input, launched one after another with nothing in between. The
  /// results are NaN before.
  static std::vector<double> run(std::int64_t batch, const std::vector<std::int64_t>& widths, bool overlaps) {
    const DType dtype = GetParam();
    std::vector<Buffer> values;
    std::vector<Buffer> constants;
    values.reserve(widths.size());
    constants.reserve(3 * widths.size());
    values.emplace_back(random_values(batch * widths[0], 1, dtype), dtype);
    ptx::runtime::queue(true);
    for (std::size_t n = 1; n < widths.size(); ++n) {
      const FewRows c{.dtype = dtype, .batch = batch, .inputs = widths[n - 1], .units = widths[n]};
      DenseData data = random_data(c);
      for (double& weight : data.w) weight /= std::sqrt(static_cast<double>(c.inputs));
      kernels::Dense args = dense_of(c);
      const std::int64_t stride = (c.units + 3) / 4 * 4;
      if (dtype == DType::float32) {
        std::vector<double> rows(static_cast<std::size_t>(c.inputs * stride));
        for (std::int64_t i = 0; i < c.inputs; ++i) std::copy_n(data.w.begin() + i * c.units, c.units, rows.begin() + i * stride);
        constants.emplace_back(rows, dtype, true);
      } else {
        constants.emplace_back(fragments_of(c, data), dtype, true);
      }
      args.kernel = constants.back().data();
      args.bias = constants.emplace_back(data.b, DType::float32).data();
      args.src = values.back().data();
      args.dst = values.emplace_back(batch * c.units, dtype).data();
      if (overlaps) args.overlap = n == 1 ? Overlap::inside : Overlap::all;
      const bool own = dtype == DType::float32;
      const std::size_t bytes = own ? kernels::small_batch_workspace(args) : kernels::mma_small_batch_workspace(args);
      args.workspace = constants.emplace_back(static_cast<std::int64_t>(bytes / sizeof(float)), DType::float32, true).data();
      EXPECT_EQ(own ? kernels::small_batch(args, stride, nullptr) : kernels::mma_small_batch(args, nullptr), cudaSuccess);
    }
    ptx::runtime::queue(false);
    for (const Buffer& value : values) EXPECT_TRUE(value.guarded());
    return values.back().values();
  }
};

/// 9000 inputs are added in slices, so that layer is two launches; 33 rows take blocks of their own.
TEST_P(PtxKernelsOverlapTest, LayersHaveTheSameBits) {
  if (!can_overlap()) GTEST_SKIP() << "their code cannot";
  for (const std::int64_t batch :
       GetParam() == DType::float32 ? std::vector<std::int64_t>{1, 3, 8, 16} : std::vector<std::int64_t>{1, 9, 33}) {
    const std::vector<std::int64_t> widths{70, 33, 130, 7, 65};
    const std::vector<double> wanted = run(batch, widths, false);
    EXPECT_EQ(run(batch, widths, true), wanted);
    EXPECT_THAT(wanted, testing::Not(Contains(testing::IsNan())));
  }
  const std::vector<std::int64_t> sliced{40, 9000, 19, 9000, 5};
  EXPECT_EQ(run(2, sliced, true), run(2, sliced, false));
  EXPECT_THAT(ptx::runtime::take_findings(), IsEmpty());
}

TEST_P(PtxKernelsOverlapTest, AWaitTakenOutIsFound) {
  if (!can_overlap()) GTEST_SKIP() << "their code cannot";
  ptx::registry::edit_statements("griddepcontrol.wait", [](const std::string&) { return ""; });
  run(2, {70, 33, 130, 7}, true);
  const auto findings = ptx::runtime::take_findings();
  EXPECT_THAT(findings, Contains(testing::Field(&ptx::Finding::fault, ptx::Fault::early)));
  EXPECT_THAT(findings, Contains(testing::Field(&ptx::Finding::fault, ptx::Fault::undefined_memory)));
}

enum class Rows { quantized, floats, floats_mma };

/// Three layers of quantized weights.
class PtxQuantizedOverlapTest : public testing::TestWithParam<Rows> {
 protected:
  void TearDown() override { ptx::registry::edit(nullptr); }

  static std::vector<double> run(std::int64_t batch, bool overlaps) {
    constexpr std::array<std::int64_t, 4> kWidths{130, 70, 33, 20};
    const DType dtype = GetParam() == Rows::floats_mma ? DType::float16 : DType::float32;
    std::vector<Buffer> values;
    std::vector<Buffer> constants;
    values.reserve(kWidths.size());
    constants.reserve(3 * kWidths.size());
    values.emplace_back(random_values(batch * kWidths[0], 1, dtype), dtype);
    ptx::runtime::queue(true);
    for (std::size_t n = 1; n < kWidths.size(); ++n) {
      kernels::QuantizedDense args;
      args.dtype = dtype;
      args.quantizes = GetParam() == Rows::quantized;
      args.int4 = n == 2;
      args.batch = batch;
      args.inputs = kWidths[n - 1];
      args.units = kWidths[n];
      const auto q = random_integers(args.inputs * args.units, args.int4, 5);
      args.weights = constants.emplace_back(bytes_of({args.inputs, args.units, args.int4}, q), DType::uint8, true).data();
      args.scale = constants.emplace_back(std::vector<double>(static_cast<std::size_t>(args.units), 300), DType::float32).data();
      const auto bytes = static_cast<std::int64_t>(kernels::quantized_dense_workspace(args));
      args.workspace = constants.emplace_back(bytes, DType::uint8, true).data();
      args.src = values.back().data();
      args.dst = values.emplace_back(batch * args.units, dtype).data();
      if (overlaps) args.overlap = n == 1 ? Overlap::inside : Overlap::all;
      const bool mma = GetParam() == Rows::floats_mma;
      EXPECT_EQ(mma ? kernels::dequantized_mma(args, nullptr) : kernels::quantized_dense(args, nullptr), cudaSuccess);
    }
    ptx::runtime::queue(false);
    return values.back().values();
  }
};

TEST_P(PtxQuantizedOverlapTest, LayersHaveTheSameBits) {
  if (!can_overlap()) GTEST_SKIP() << "their code cannot";
  for (const std::int64_t batch : {1, 9}) {
    const std::vector<double> wanted = run(batch, false);
    EXPECT_EQ(run(batch, true), wanted);
    EXPECT_THAT(wanted, testing::Not(Contains(testing::IsNan())));
  }
  EXPECT_THAT(ptx::runtime::take_findings(), IsEmpty());
}

TEST_P(PtxQuantizedOverlapTest, AWaitTakenOutIsFound) {
  if (!can_overlap()) GTEST_SKIP() << "their code cannot";
  ptx::registry::edit_statements("griddepcontrol.wait", [](const std::string&) { return ""; });
  run(2, true);
  EXPECT_THAT(ptx::runtime::take_findings(), Contains(testing::Field(&ptx::Finding::fault, ptx::Fault::early)));
}

INSTANTIATE_TEST_SUITE_P(Rows, PtxQuantizedOverlapTest, testing::Values(Rows::quantized, Rows::floats, Rows::floats_mma));
INSTANTIATE_TEST_SUITE_P(Types, PtxKernelsOverlapTest, testing::Values(DType::float32, DType::bfloat16),
                         [](const auto& of) { return std::string(to_string(of.param)); });

}  // namespace
}  // namespace lamella::test
