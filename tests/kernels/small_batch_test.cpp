// SPDX-License-Identifier: Apache-2.0
#include "tests/kernels/few_rows.hpp"

namespace lamella::test {
namespace {

constexpr std::array kTypes{DType::float32, DType::float16, DType::bfloat16};

void check(const FewRows& c, const DenseData& data) { expect_sums(c, data, run_small_batch(c, data), 0x1p-24); }
void check(const FewRows& c) { check(c, random_data(c)); }

TEST(SmallBatchTest, IsRightInAnyShape) {
  for (const DType dtype : kTypes) {
    for (const std::int64_t batch : {0, 1, 3, 8, 13, 16}) {  // each number of rows that has a kernel of its own, and some between
      if (batch > kernels::small_batch_most(dtype)) continue;
      for (const std::int64_t inputs : {0, 1, 7, 31, 129}) {
        for (const std::int64_t units : {0, 1, 7, 33, 129})
          check({.dtype = dtype, .batch = batch, .inputs = inputs, .units = units, .aligned = units % 2 == 0});
      }
    }
  }
}

/// src comes to shared memory several times; a block makes two, four or eight packs of units.
TEST(SmallBatchTest, IsRightForLongSumsAndManyUnits) {
  for (const DType dtype : kTypes) {
    check({.dtype = dtype, .batch = 1, .inputs = 4100, .units = 5});
    check({.dtype = dtype, .batch = 3, .inputs = 1025, .units = 31, .bias = false});
    check({.dtype = dtype, .batch = 8, .inputs = 1000, .units = 3});
    check({.dtype = dtype, .batch = 2, .inputs = 31, .units = 1027});
    check({.dtype = dtype, .batch = 1, .inputs = 33, .units = dtype == DType::float32 ? 4099 : 8195});
    check({.dtype = dtype, .batch = 5, .inputs = 9, .units = dtype == DType::float32 ? 8195 : 16387});
  }
  check({.batch = 15, .inputs = 700, .units = 9});
}

/// Few units and many inputs: the inputs are divided among blocks too.
TEST(SmallBatchTest, AddsTheSlicesOfTheInputs) {
  for (const DType dtype : kTypes) {
    for (const std::int64_t batch : {1, 5}) {
      const FewRows c{.dtype = dtype, .batch = batch, .inputs = 8291, .units = 19, .bias = batch == 1};
      EXPECT_GT(kernels::small_batch_workspace(dense_of(c)), 2 * sizeof(float) * static_cast<std::size_t>(batch * c.units));
      check(c);
    }
  }
  EXPECT_EQ(kernels::small_batch_workspace(dense_of({.batch = 1, .inputs = 4096, .units = 4096})), 0U);
  EXPECT_EQ(kernels::small_batch_workspace(dense_of({.batch = 1, .inputs = 100000, .units = 0})), 0U);
}

/// The activation is applied to exactly the bits that the product has without one.
TEST(SmallBatchTest, AppliesEveryActivationToTheSum) {
  for (const std::int64_t inputs : {33, 8291}) {
    for (const ActivationKind kind : elementwise_kinds()) {
      const std::array<float, 3> p = measured_parameters(kind)[0];
      const ActivationSpec activation{kind, {p[0], p[1], p[2]}};
      const FewRows plain{.batch = inputs == 33 ? 5 : 1, .inputs = inputs, .units = inputs == 33 ? 19 : 3};
      FewRows activated = plain;
      activated.activation = activation;
      DenseData data = random_data(plain);
      for (double& w : data.w) w = static_cast<float>(w / std::sqrt(static_cast<double>(inputs)));
      const std::vector<double> x = run_small_batch(plain, data);
      const std::vector<double> y = run_small_batch(activated, data);
      for (std::size_t i = 0; i < x.size(); ++i) {
        const double exact = truths().at(to_string(kind))(x[i], activation.parameters);
        ASSERT_TRUE(is_rounded(y[i], exact, plain.dtype, activation_error(kind, plain.dtype, x[i], exact)))
            << to_string(kind) << " of " << x[i];
      }
    }
  }
}

TEST(SmallBatchTest, PassesNaNAndInfinityOnAsSumsDo) {
  for (const DType dtype : kTypes) {
    for (const std::int64_t inputs : {40, 8291}) {
      const FewRows c{.dtype = dtype, .batch = 4, .inputs = inputs, .units = 9};
      check(c, unusual_data(c));
    }
  }
}

TEST(SmallBatchTest, GivesTheSameBitsEveryTime) {
  for (const DType dtype : kTypes) {
    for (const std::int64_t inputs : {515, 8291}) {
      const FewRows c{.dtype = dtype, .batch = 7, .inputs = inputs, .units = 19};
      const DenseData data = random_data(c);
      EXPECT_EQ(run_small_batch(c, data), run_small_batch(c, data));
    }
  }
}

TEST(SmallBatchTest, RefusesWhatItCannotDo) {
  Buffer memory(4096, DType::float32, true);
  const kernels::Dense args{{}, DType::float32, memory.data(), memory.data(), nullptr, memory.data(), 1, 4, 4};
  const auto refused = [&](auto change, std::int64_t kernel_stride = 4) {
    kernels::Dense bad = args;
    change(bad);
    return kernels::small_batch(bad, kernel_stride, nullptr) == cudaErrorInvalidValue;
  };
  EXPECT_TRUE(refused([](auto& a) { a.batch = kernels::small_batch_most(a.dtype) + 1; }));
  EXPECT_TRUE(refused([](auto& a) {
    a.dtype = DType::float16;
    a.batch = kernels::small_batch_most(a.dtype) + 1;
  }));
  EXPECT_TRUE(refused([](auto& a) { a.dtype = DType::float64; }));
  EXPECT_TRUE(refused([](auto& a) { a.inputs = kernels::kMostSmallBatchInputs + 1; }));
  EXPECT_TRUE(refused([](auto&) {}, 5));
  EXPECT_TRUE(refused([](auto& a) { a.kernel = static_cast<const float*>(a.kernel) + 1; }));
  EXPECT_TRUE(refused([](auto& a) { a.activation.kind = ActivationKind::Softmax; }));
}

}  // namespace
}  // namespace lamella::test
