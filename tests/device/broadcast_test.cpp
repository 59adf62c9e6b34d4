// SPDX-License-Identifier: Apache-2.0
// Operations whose constants broadcast over a sample.
#include <gmock/gmock.h>

#include "device/op_truth.hpp"
#include "ops/broadcast.hpp"

namespace lamella::test {
namespace {

constexpr DType kFloating[] = {DType::float32, DType::bfloat16, DType::float16, DType::float64};

/// The index into a constant of this shape for element i of the samples, by numpy's rule.
std::size_t index_in(const Shape& constant, const Shape& sample, std::size_t i) {
  std::size_t at = 0;
  std::size_t stride = 1;
  for (int axis = sample.rank() - 1; axis >= 0; --axis) {
    const auto extent = static_cast<std::size_t>(sample[axis]);
    if (constant[axis] != 1) at += i % extent * stride;
    stride *= static_cast<std::size_t>(constant[axis]);
    i /= extent;
  }
  return at;
}

/// All shapes of constants that broadcast over the sample.
std::vector<Shape> constants_over(const Shape& sample) {
  std::vector<Shape> result{Shape(std::vector<std::int64_t>(static_cast<std::size_t>(sample.rank()), 1))};
  for (int axis = 0; axis < sample.rank(); ++axis) {
    if (sample[axis] == 1) continue;
    for (std::size_t i = result.size(); i-- > 0;) result.push_back(result[i].with(axis, sample[axis]));
  }
  return result;
}

std::vector<double> draw(const Shape& shape, unsigned seed, DType dtype) {
  return rounded(random_values(static_cast<std::size_t>(shape.elements()), seed), dtype);
}

TEST(AffineTest, BroadcastsScaleAndOffsetAsNumpyDoes) {
  for (const DType dtype : kFloating) {
    for (const Shape& sample : {Shape{}, Shape{31}, Shape{1, 7}, Shape{5, 3}, Shape{3, 2, 5}}) {
      for (const Shape& scale_shape : constants_over(sample)) {
        for (const Shape& offset_shape : constants_over(sample)) {
          SCOPED_TRACE(testing::Message() << to_string(dtype) << to_string(sample) << to_string(scale_shape)
                                          << to_string(offset_shape));
          const auto x = draw(sample.prepended(4), 1, dtype);
          const auto scale = draw(scale_shape, 2, DType::float32);
          const auto offset = draw(offset_shape, 3, DType::float32);
          std::vector<double> want(x.size());
          for (std::size_t i = 0; i < x.size(); ++i)
            want[i] = x[i] * scale[index_in(scale_shape, sample, i)] + offset[index_in(offset_shape, sample, i)];
          const ops::Broadcast over = ops::collapsed(sample, {scale_shape, offset_shape});
          for (const ops::AffineDesc& d :
               {ops::AffineDesc{4, sample, scale_shape, offset_shape, dtype},
                ops::AffineDesc{4 * over.outer, over.sample, over.constants[0], over.constants[1], dtype}}) {
            expect_near(run(d, constants_of({scale, offset}), sources({x}, dtype), dtype, x.size()), want, dtype, 1, 10);
          }
        }
      }
    }
  }
}

TEST(AffineTest, GoesThroughManyRowsWithSeveralThreads) {
  const ops::AffineDesc d{50, {31, 7}, {31, 1}, {1, 7}, DType::float32};
  const auto x = draw({50, 31, 7}, 1, DType::float32);
  const auto scale = draw({31}, 2, DType::float32);
  const auto offset = draw({7}, 3, DType::float32);
  std::vector<double> want(x.size());
  for (std::size_t i = 0; i < x.size(); ++i) want[i] = x[i] * scale[i / 7 % 31] + offset[i % 7];
  for (const int threads : {1, 2, 3}) {
    expect_near(run(d, constants_of({scale, offset}), sources({x}, DType::float32), DType::float32, x.size(), {}, threads), want,
                DType::float32, 1, 10);
  }
}

TEST(AffineTest, TakesSamplesWithoutElements) {
  for (const auto& [sample, scale] : {std::pair{Shape{0}, Shape{0}}, {Shape{0, 3}, Shape{0, 1}}, {Shape{3, 0}, Shape{3, 1}}}) {
    const Shape ones(std::vector<std::int64_t>(static_cast<std::size_t>(sample.rank()), 1));
    const auto constants = constants_of({draw(scale, 1, DType::float32), {1.0}});
    EXPECT_THAT(
        run(ops::AffineDesc{2, sample, scale, ones, DType::float32}, constants, sources({{}}, DType::float32), DType::float32, 0),
        testing::IsEmpty());
  }
}

TEST(PReluTest, BroadcastsItsSlopesAsNumpyDoes) {
  for (const DType dtype : kFloating) {
    for (const Shape& sample : {Shape{}, Shape{33}, Shape{5, 3}, Shape{3, 2, 5}}) {
      for (const Shape& alpha_shape : constants_over(sample)) {
        const auto x = draw(sample.prepended(3), 1, dtype);
        const auto alpha = draw(alpha_shape, 2, dtype);
        std::vector<double> want(x.size());
        for (std::size_t i = 0; i < x.size(); ++i) want[i] = x[i] > 0 ? x[i] : alpha[index_in(alpha_shape, sample, i)] * x[i];
        expect_near(run(ops::PReluDesc{3, sample, alpha_shape, dtype}, constants_of({alpha}, dtype), sources({x}, dtype), dtype,
                        x.size()),
                    want, dtype, 1);
      }
    }
  }
}

TEST(PReluTest, HasASlopeForEachElementOfTheSample) {
  const auto y = run(ops::PReluDesc{2, {3}, {3}, DType::float32}, constants_of({{0.5, 0.25, -1.0}}),
                     sources({{-2, -2, -2, 4, 0, 1}}, DType::float32), DType::float32, 6);
  EXPECT_THAT(y, testing::ElementsAre(-1, -0.5, 2, 4, 0, 1));
}

TEST(BroadcastTest, HasTheFewestAxesThatDistinguishTheConstants) {
  struct Case {
    Shape whole;
    std::vector<Shape> constants;
    std::int64_t outer;
    Shape sample;
    std::vector<Shape> collapsed;
  };
  for (const Case& c : std::vector<Case>{
           {{}, {{}}, 1, {}, {{}}},
           {{7}, {{7}}, 1, {7}, {{7}}},
           {{7}, {{1}}, 7, {}, {{}}},
           {{5, 7}, {{1, 7}, {1, 1}}, 5, {7}, {{7}, {1}}},
           {{5, 7}, {{5, 7}, {5, 7}}, 1, {35}, {{35}, {35}}},
           {{5, 7}, {{5, 1}, {1, 1}}, 1, {5, 7}, {{5, 1}, {1, 1}}},
           {{2, 3, 5, 7}, {{1, 3, 5, 1}}, 2, {15, 7}, {{15, 1}}},
           {{2, 3, 5, 7}, {{2, 3, 1, 1}, {1, 1, 5, 7}}, 1, {6, 35}, {{6, 1}, {1, 35}}},
           {{2, 3, 5}, {{2, 1, 5}, {2, 1, 1}}, 1, {2, 3, 5}, {{2, 1, 5}, {2, 1, 1}}},
           {{2, 1, 5}, {{2, 1, 5}}, 1, {10}, {{10}}},
           {{1, 1}, {{1, 1}}, 1, {}, {{}}},
           {{0, 7}, {{1, 7}}, 0, {7}, {{7}}},
           {{5, 0}, {{5, 1}}, 1, {5, 0}, {{5, 1}}},
       }) {
    const ops::Broadcast got = ops::collapsed(c.whole, c.constants);
    EXPECT_EQ(got.outer, c.outer) << to_string(c.whole);
    EXPECT_EQ(got.sample, c.sample) << to_string(c.whole);
    EXPECT_EQ(got.constants, c.collapsed) << to_string(c.whole);
  }
  EXPECT_THROW((void)ops::collapsed({std::int64_t{1} << 40, std::int64_t{1} << 40, 0}, {{1, 1, 1}}), ArgumentError);
}

}  // namespace
}  // namespace lamella::test
