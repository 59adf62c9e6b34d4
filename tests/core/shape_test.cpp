// SPDX-License-Identifier: Apache-2.0
#include <lamella/shape.hpp>

#include <gtest/gtest.h>

#include <lamella/error.hpp>
#include <limits>
#include <vector>

namespace lamella {
namespace {

template <typename F>
ErrorCode code_of(F&& f) {
  try {
    static_cast<void>(f());
  } catch (const ArgumentError& error) {
    return error.code();
  }
  return ErrorCode::internal;
}

TEST(ShapeTest, CountsElements) {
  EXPECT_EQ(Shape().elements(), 1);
  EXPECT_EQ((Shape{0}).elements(), 0);
  EXPECT_EQ((Shape{3, 127, 1}).elements(), 381);
  EXPECT_EQ((Shape{3, 0, 1027}).elements(), 0);
  EXPECT_EQ((Shape{2, 3, 5}).elements(1, 3), 15);
  EXPECT_EQ((Shape{2, 3, 5}).elements(1, 1), 1);
}

TEST(ShapeTest, PrintsAsATuple) {
  EXPECT_EQ(to_string(Shape()), "()");
  EXPECT_EQ(to_string(Shape{4}), "(4,)");
  EXPECT_EQ(to_string(Shape{2, 3}), "(2, 3)");
}

TEST(ShapeTest, PrintsABatchAsKerasDoes) {
  EXPECT_EQ(batch_shape_text(std::vector<std::int64_t>{3}), "(None, 3)");
  EXPECT_EQ(batch_shape_text(std::vector<std::int64_t>{-1, 8}), "(None, None, 8)");
  EXPECT_EQ(batch_shape_text({}), "(None)");
  EXPECT_EQ(batch_shape_text(Shape{0, 2}), "(None, 0, 2)");
}

TEST(ShapeTest, CountsAxesFromBothEnds) {
  const Shape shape{2, 3, 5};
  EXPECT_EQ(shape[0], 2);
  EXPECT_EQ(shape[-3], 2);
  EXPECT_EQ(shape.back(), 5);
  EXPECT_EQ(code_of([&] { return shape[3]; }), ErrorCode::shape);
  EXPECT_EQ(code_of([&] { return shape[-4]; }), ErrorCode::shape);
  EXPECT_EQ(code_of([] { return Shape().back(); }), ErrorCode::shape);
}

TEST(ShapeTest, DerivesOtherShapes) {
  const Shape shape{2, 3, 5};
  EXPECT_EQ(shape.with(-1, 7), (Shape{2, 3, 7}));
  EXPECT_EQ(shape.slice(1, 3), (Shape{3, 5}));
  EXPECT_EQ(shape.slice(1, 1), Shape());
  EXPECT_EQ(shape.prepended(9), (Shape{9, 2, 3, 5}));
  EXPECT_FALSE(shape == shape.slice(0, 2));
  EXPECT_EQ(code_of([&] { return shape.with(0, -1); }), ErrorCode::shape);
  EXPECT_EQ(code_of([&] { return shape.slice(2, 4); }), ErrorCode::shape);
  EXPECT_EQ(code_of([&] { return shape.elements(2, 1); }), ErrorCode::shape);
}

TEST(ShapeTest, TakesIntegersOfAnyType) {
  const std::vector<float> values(12);
  const int rows = 3;
  EXPECT_EQ((Shape{values.size() / 4, 4}), (Shape{3, 4}));
  EXPECT_EQ((Shape{rows, 4U, std::int8_t{2}}), (Shape{3, 4, 2}));
  EXPECT_EQ(code_of([] { return Shape{std::numeric_limits<std::uint64_t>::max()}; }), ErrorCode::overflow);
  EXPECT_EQ(code_of([rows] { return Shape{-rows}; }), ErrorCode::shape);
  static_assert(!std::is_constructible_v<Shape, std::initializer_list<bool>>);
  static_assert(!std::is_constructible_v<Shape, std::initializer_list<double>>);
}

TEST(ShapeTest, RefusesNegativeExtentsTooManyAxesAndOverflow) {
  EXPECT_EQ(code_of([] { return Shape{3, -1}; }), ErrorCode::shape);
  const std::vector<std::int64_t> most(Shape::kMaxRank, 1);
  EXPECT_EQ(Shape(std::span<const std::int64_t>(most)).rank(), Shape::kMaxRank);
  EXPECT_EQ(code_of([&] { return Shape(std::span<const std::int64_t>(most)).prepended(1); }), ErrorCode::shape);
  const std::vector<std::int64_t> more(Shape::kMaxRank + 1, 1);
  EXPECT_EQ(code_of([&] { return Shape(std::span<const std::int64_t>(more)); }), ErrorCode::shape);
  constexpr std::int64_t kLargest = std::numeric_limits<std::int64_t>::max();
  EXPECT_EQ((Shape{kLargest}).elements(), kLargest);
  EXPECT_EQ(code_of([] { return Shape{kLargest, 2}; }), ErrorCode::overflow);
  EXPECT_EQ(code_of([] { return Shape{0, kLargest, 2}; }), ErrorCode::overflow);
}

}  // namespace
}  // namespace lamella
