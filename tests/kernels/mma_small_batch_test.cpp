// SPDX-License-Identifier: Apache-2.0
#include "tests/kernels/few_rows.hpp"

namespace lamella::test {
namespace {

constexpr std::array kTypes{DType::float16, DType::bfloat16};

class MmaSmallBatchTest : public TensorCoreTest {
 protected:
  static void check(const FewRows& c, const DenseData& data) { expect_sums(c, data, run_mma_small_batch(c, data), 0x1p-23); }
  static void check(const FewRows& c) { check(c, random_data(c)); }
};

TEST_F(MmaSmallBatchTest, IsRightInAnyShape) {
  for (const std::int64_t batch : {0, 1, 4, 8, 9, 32, 33}) {
    for (const std::int64_t inputs : {0, 1, 7, 8, 31, 65, 129}) {
      for (const std::int64_t units : {0, 1, 7, 33, 65}) {
        const bool odd = (batch + inputs + units) % 2 != 0;
        check({.dtype = kTypes[odd ? 0 : 1], .batch = batch, .inputs = inputs, .units = units});
      }
    }
  }
}

/// Many units: a block makes 32 of them where rows are more than four.
TEST_F(MmaSmallBatchTest, IsRightForManyUnits) {
  check({.dtype = DType::float16, .batch = 4, .inputs = 33, .units = 2051});
  check({.dtype = DType::bfloat16, .batch = 6, .inputs = 40, .units = 2051, .aligned = true});
}

TEST_F(MmaSmallBatchTest, ReadsPacksWhereItCan) {
  for (const DType dtype : kTypes) {
    for (const std::int64_t batch : {3, 8, 30}) {
      for (const std::int64_t inputs : {8, 32, 72, 1000, 1025})
        check({.dtype = dtype, .batch = batch, .inputs = inputs, .units = 68, .bias = batch != 3, .aligned = true});
    }
  }
}

/// Few units and many inputs: the inputs are divided among blocks too.
TEST_F(MmaSmallBatchTest, AddsTheSlicesOfTheInputs) {
  for (const DType dtype : kTypes) {
    for (const bool aligned : {false, true}) {
      for (const std::int64_t batch : {1, 8, 11, 40}) {
        const FewRows c{.dtype = dtype, .batch = batch, .inputs = 8296, .units = batch == 1 ? 17 : 5, .aligned = aligned};
        EXPECT_GT(kernels::mma_small_batch_workspace(dense_of(c)), 2 * sizeof(float) * static_cast<std::size_t>(batch * c.units));
        check(c);
      }
    }
  }
  EXPECT_EQ(kernels::mma_small_batch_workspace(dense_of({.dtype = DType::float16, .batch = 1, .inputs = 4096, .units = 4096})),
            0U);
  EXPECT_EQ(kernels::mma_small_batch_workspace(dense_of({.dtype = DType::float16, .batch = 0, .inputs = 100000, .units = 3})),
            0U);
}

/// Sums that are products of two numbers: exact, and each activation's error is its own.
TEST_F(MmaSmallBatchTest, AppliesEveryActivationToTheSum) {
  for (const ActivationKind kind : elementwise_kinds()) {
    const std::array<float, 3> p = measured_parameters(kind)[0];
    for (const DType dtype : kTypes) {
      for (const std::int64_t batch : {3, 9}) {
        const FewRows c{.dtype = dtype, .batch = batch, .inputs = 1, .units = 67, .activation = {kind, {p[0], p[1], p[2]}}};
        DenseData data{{1, -0.5, 2, 1, 1, 1, 1, 1, 1}, std::vector<double>(67), std::vector<double>(67, 0.25)};
        data.x.resize(static_cast<std::size_t>(batch));
        for (std::size_t i = 0; i < data.w.size(); ++i) data.w[i] = (static_cast<double>(i) - 33) / 8;
        const std::vector<double> y = run_mma_small_batch(c, data);
        for (std::size_t i = 0; i < y.size(); ++i) {
          const double sum = data.x[i / 67] * data.w[i % 67] + 0.25;
          const double exact = truths().at(to_string(kind))(sum, c.activation.parameters);
          ASSERT_TRUE(is_rounded(y[i], exact, dtype, activation_error(kind, dtype, sum, exact)))
              << to_string(kind) << " of " << sum << " in " << to_string(dtype) << ": " << exact << ", got " << y[i];
        }
      }
    }
  }
}

TEST_F(MmaSmallBatchTest, PassesNaNAndInfinityOnAsSumsDo) {
  for (const DType dtype : kTypes) {
    for (const std::int64_t batch : {4, 20}) {
      for (const std::int64_t inputs : {40, 8296}) {
        const FewRows c{.dtype = dtype, .batch = batch, .inputs = inputs, .units = 9, .aligned = batch == 4};
        check(c, unusual_data(c));
      }
    }
  }
}

TEST_F(MmaSmallBatchTest, GivesTheSameBitsEveryTime) {
  for (const std::int64_t batch : {7, 32}) {
    for (const std::int64_t inputs : {515, 8296}) {
      const FewRows c{.dtype = DType::bfloat16, .batch = batch, .inputs = inputs, .units = 19};
      const DenseData data = random_data(c);
      EXPECT_EQ(run_mma_small_batch(c, data), run_mma_small_batch(c, data));
    }
  }
}

TEST_F(MmaSmallBatchTest, RefusesWhatItCannotDo) {
  Buffer memory(4096, DType::float16, true);
  const kernels::Dense args{{}, DType::float16, memory.data(), memory.data(), nullptr, memory.data(), 1, 4, 4};
  const auto refused = [&](auto change) {
    kernels::Dense bad = args;
    change(bad);
    return kernels::mma_small_batch(bad, nullptr) == cudaErrorInvalidValue;
  };
  EXPECT_TRUE(refused([](auto& a) { a.dtype = DType::float32; }));
  EXPECT_TRUE(refused([](auto& a) { a.inputs = kernels::kMostSmallBatchInputs + 1; }));
  EXPECT_TRUE(refused([](auto& a) { a.units = kernels::MmaLayout::kMostUnits + 1; }));
  EXPECT_TRUE(refused([](auto& a) { a.kernel = static_cast<const char*>(a.kernel) + 2; }));
  EXPECT_TRUE(refused([](auto& a) { a.activation.kind = ActivationKind::Softmax; }));
}

}  // namespace
}  // namespace lamella::test
