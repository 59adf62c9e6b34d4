// SPDX-License-Identifier: Apache-2.0
#include <lamella/tensor.hpp>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>
#include <lamella/error.hpp>
#include <limits>
#include <type_traits>
#include <vector>

// Under a sanitizer an impossible allocation must fail as it does otherwise, not end the program.
extern "C" const char* __asan_default_options();
extern "C" const char* __asan_default_options() { return "allocator_may_return_null=1"; }
extern "C" const char* __tsan_default_options();
extern "C" const char* __tsan_default_options() { return "allocator_may_return_null=1"; }

namespace lamella {
namespace {

template <typename F>
ErrorCode code_of(F&& f) {
  try {
    static_cast<void>(f());
  } catch (const Error& error) {
    return error.code();
  }
  return ErrorCode::internal;
}

template <typename T>
Tensor of(const std::vector<T>& values) {
  return Tensor::of<T>(values, {values.size()});
}
template <typename T>
std::vector<T> values_of(const Tensor& tensor) {
  const auto span = tensor.span<T>();
  return {span.begin(), span.end()};
}
void expect_empty(const Tensor& tensor) {
  EXPECT_EQ(tensor.shape(), Shape{0});
  EXPECT_EQ(tensor.dtype(), DType::float32);
  EXPECT_EQ(tensor.data(), nullptr);
  EXPECT_TRUE(tensor.device().is_cpu());
}

static_assert(!std::is_copy_constructible_v<Tensor> && !std::is_copy_assignable_v<Tensor>);
static_assert(std::is_nothrow_move_constructible_v<Tensor>);

TEST(TensorTest, IsEmptyByDefaultAndAfterAMove) {
  expect_empty(Tensor());
  Tensor a = of<std::int32_t>({1, 2, 3});
  Tensor b = std::move(a);
  expect_empty(a);  // NOLINT(bugprone-use-after-move): what is promised
  EXPECT_EQ(values_of<std::int32_t>(b), (std::vector<std::int32_t>{1, 2, 3}));
  a = std::move(b);
  expect_empty(b);  // NOLINT(bugprone-use-after-move)
  Tensor& same = a;
  a = std::move(same);
  EXPECT_EQ(values_of<std::int32_t>(a), (std::vector<std::int32_t>{1, 2, 3}));
}

TEST(TensorTest, IsAlignedAndHasItsShapeAndType) {
  for (const std::int64_t n : {0, 1, 3, 127, 1027, 3'000'001}) {
    Tensor tensor = Tensor::zeros({n}, DType::float64);
    EXPECT_EQ(reinterpret_cast<std::uintptr_t>(tensor.data()) % 64, 0U);
    EXPECT_EQ(tensor.bytes(), static_cast<std::size_t>(n) * 8);
    double sum = 0.0;
    for (double& x : tensor.span<double>()) sum += std::fabs(x);
    EXPECT_EQ(sum, 0.0);
  }
}

TEST(TensorTest, RefusesTooLargeSizesAndSaysHowMuchWasRequested) {
  constexpr std::int64_t kLargest = std::numeric_limits<std::int64_t>::max();
  EXPECT_EQ(code_of([] { return Tensor({kLargest}, DType::float64); }), ErrorCode::overflow);
  try {
    const Tensor tensor({std::int64_t{1} << 60}, DType::int8);
    FAIL();
  } catch (const std::bad_alloc& error) {
    EXPECT_THAT(error.what(), testing::HasSubstr("1152921504606846976"));
  }
}

// Views of objects that outlive them take their elements' dtype; a view of a temporary, or a writable view of const, does not
// compile.
template <typename View, typename... Data>
inline constexpr bool views = std::is_constructible_v<View, Data..., Shape>;
static_assert(views<TensorView, std::vector<float>&> && views<TensorView, const std::vector<float>&>);
static_assert(views<TensorView, std::array<double, 4>&> && views<TensorView, const std::int32_t (&)[4]>);
static_assert(views<TensorView, std::span<const float>> && views<TensorView, std::span<float, 4>&>);
static_assert(views<TensorView, float*> && views<TensorView, const bfloat16* const&>);
static_assert(!views<TensorView, std::vector<float>> && !views<TensorView, std::array<float, 4>>);
static_assert(!views<TensorView, std::vector<bool>&> && !views<TensorView, std::vector<std::string>&>);
static_assert(!views<TensorView, const char*> && !views<TensorView, float (&)[2][2]>);
static_assert(views<MutableTensorView, std::vector<float>&> && views<MutableTensorView, std::span<float>>);
static_assert(views<MutableTensorView, float*> && views<MutableTensorView, float (&)[4]>);
static_assert(!views<MutableTensorView, const std::vector<float>&> && !views<MutableTensorView, std::span<const float>>);
static_assert(!views<MutableTensorView, const float*> && !views<MutableTensorView, const float (&)[4]>);
static_assert(!std::is_convertible_v<const Tensor&, MutableTensorView> && !std::is_convertible_v<TensorView, MutableTensorView>);

TEST(TensorTest, ViewsShowVectorsArraysSpansAndPointersWithTheirDType) {
  const std::vector<double> vector{1, 2, 3, 4, 5, 6};
  const std::array<std::int32_t, 6> array{1, 2, 3, 4, 5, 6};
  float numbers[] = {1, 2, 3, 4, 5, 6};
  EXPECT_EQ(TensorView(vector, {2, 3}).dtype(), DType::float64);
  EXPECT_EQ(TensorView(vector, {2, 3}).data(), vector.data());
  EXPECT_EQ(TensorView(array, {6}).span<std::int32_t>()[5], 6);
  EXPECT_EQ(TensorView(numbers, {3, 2}).data(), numbers);
  EXPECT_EQ(TensorView(std::span(numbers).first(4), {4}).dtype(), DType::float32);
  EXPECT_EQ(TensorView(&numbers[2], {4}).span<float>()[0], 3);
  EXPECT_EQ(code_of([&] { return TensorView(numbers, {7}); }), ErrorCode::shape);
  EXPECT_EQ(code_of([&] { return TensorView(vector, {2, 2}); }), ErrorCode::shape);
  const MutableTensorView wide = MutableTensorView(numbers, {2, 3}).reshaped({6});
  wide.span<float>()[5] = 7;
  EXPECT_EQ(numbers[5], 7);
  EXPECT_EQ(code_of([&] { return wide.reshaped({5}); }), ErrorCode::shape);
  EXPECT_EQ(values_of<float>(Tensor::of(numbers, {6})).back(), 7);
  EXPECT_EQ(values_of<double>(Tensor::of(std::vector<double>{1, 2}, {2})), (std::vector<double>{1, 2}));
}

TEST(TensorTest, ShapesAreMadeOfIntegersOfAnyType) {
  EXPECT_EQ(Shape(std::vector<int>{2, 3}), (Shape{2, 3}));
  EXPECT_EQ(Shape(std::array<std::size_t, 2>{2, 3}), (Shape{2, 3}));
  EXPECT_EQ(Shape(std::span<const std::uint8_t>()), Shape());
  const int rows = 2;
  EXPECT_EQ((Shape{rows, 3}), (Shape{2, 3}));
  EXPECT_EQ(code_of([] { return Shape(std::vector<int>{2, -3}); }), ErrorCode::shape);
  EXPECT_EQ(code_of([] { return Shape(std::vector<std::uint64_t>{std::uint64_t{1} << 63U}); }), ErrorCode::overflow);
  EXPECT_EQ(code_of([] { return Shape(std::vector<int>(17, 1)); }), ErrorCode::shape);
}

TEST(TensorTest, RefusesAShapeOfAnotherSize) {
  const std::vector<float> values(6);
  EXPECT_EQ(code_of([&] { return Tensor::of<float>(values, {5}); }), ErrorCode::shape);
  EXPECT_EQ(code_of([&] { return TensorView(std::span<const float>(values), {7}); }), ErrorCode::shape);
  EXPECT_EQ(code_of([&] { return TensorView(nullptr, {1}, DType::int8); }), ErrorCode::argument);
  const auto* bytes = reinterpret_cast<const std::byte*>(values.data());
  EXPECT_EQ(code_of([&] { return TensorView(bytes + 2, {1}, DType::float32); }), ErrorCode::argument);
  EXPECT_EQ(TensorView(bytes + 2, {1}, DType::float16).data(), bytes + 2);
  Tensor tensor = Tensor::of<float>(values, {2, 3});
  EXPECT_EQ(code_of([&] { return std::move(tensor).reshaped({4}); }), ErrorCode::shape);
  EXPECT_EQ(tensor.shape(), (Shape{2, 3}));  // NOLINT(bugprone-use-after-move): a refusal changes nothing
  EXPECT_EQ(code_of([&] { return tensor.view().reshaped({4}); }), ErrorCode::shape);
  const void* memory = tensor.data();
  const Tensor flat = std::move(tensor).reshaped({6});
  EXPECT_EQ(flat.data(), memory);
  expect_empty(tensor);  // NOLINT(bugprone-use-after-move)
}

TEST(TensorTest, RefusesASpanOfAnotherType) {
  const Tensor tensor = of<float>({1, 2});
  EXPECT_EQ(code_of([&] { return tensor.span<std::int32_t>(); }), ErrorCode::dtype);
}

TEST(TensorTest, ClonesDeeply) {
  Tensor a = of<float>({1, 2, 3});
  const Tensor b = a.clone();
  const Tensor c = a.to(Device::cpu());
  a.span<float>()[0] = 9;
  EXPECT_EQ(b.span<float>()[0], 1);
  EXPECT_EQ(c.span<float>()[0], 1);
}

TEST(TensorTest, KeepsTheOwnerOfAdoptedMemory) {
  auto owner = std::make_shared<std::vector<float>>(3, 2.0F);
  {
    Tensor tensor = Tensor::adopt(owner->data(), {3}, DType::float32, Device::cpu(), owner);
    EXPECT_EQ(owner.use_count(), 2);
    EXPECT_EQ(tensor.data(), owner->data());
  }
  EXPECT_EQ(owner.use_count(), 1);
}

TEST(TensorTest, TruncatesAndClampsToIntegers) {
  const Tensor x = of<double>({0.5, 1.9, -0.5, -1.9, 127.4, 128.5, 300, -300, 1e300, -INFINITY, NAN, 2147483647.5});
  constexpr std::int32_t kLow = std::numeric_limits<std::int32_t>::min();
  constexpr std::int32_t kHigh = std::numeric_limits<std::int32_t>::max();
  EXPECT_EQ(values_of<std::int8_t>(x.to(DType::int8)),
            (std::vector<std::int8_t>{0, 1, 0, -1, 127, 127, 127, -128, 127, -128, 0, 127}));
  EXPECT_EQ(values_of<std::uint8_t>(x.to(DType::uint8)),
            (std::vector<std::uint8_t>{0, 1, 0, 0, 127, 128, 255, 0, 255, 0, 0, 255}));
  EXPECT_EQ(values_of<std::int32_t>(x.to(DType::int32)),
            (std::vector<std::int32_t>{0, 1, 0, -1, 127, 128, 300, -300, kHigh, kLow, 0, kHigh}));
  EXPECT_EQ(values_of<bool>(x.to(DType::boolean)), std::vector<bool>(12, true));
  const Tensor edges = of<double>({0x1p63, -0x1p63, 0x1p64, 0x1.fffffffffffffp63, -1});
  EXPECT_EQ(values_of<std::int64_t>(edges.to(DType::int64)),
            (std::vector<std::int64_t>{INT64_MAX, INT64_MIN, INT64_MAX, INT64_MAX, -1}));
  EXPECT_EQ(values_of<std::uint64_t>(edges.to(DType::uint64)),
            (std::vector<std::uint64_t>{std::uint64_t{1} << 63, 0, UINT64_MAX, UINT64_MAX - 2047, 0}));
}

TEST(TensorTest, KeepsTheLowBitsOfIntegers) {
  const Tensor x = of<std::int64_t>({5, -1, 200, 300, 70000, -70000, (std::int64_t{1} << 32) + 7});
  EXPECT_EQ(values_of<std::int8_t>(x.to(DType::int8)), (std::vector<std::int8_t>{5, -1, -56, 44, 112, -112, 7}));
  EXPECT_EQ(values_of<std::uint16_t>(x.to(DType::uint16)), (std::vector<std::uint16_t>{5, 65535, 200, 300, 4464, 61072, 7}));
  EXPECT_EQ(values_of<bool>(of<std::int64_t>({0, std::int64_t{1} << 40}).to(DType::boolean)), (std::vector<bool>{false, true}));
  EXPECT_EQ(values_of<float16>(of<int>({7}).to(DType::boolean).to(DType::float16))[0].bits, 0x3C00);
}

TEST(TensorTest, RoundsOnceFromWideTypes) {
  // Each is next to the midpoint of two float16 (bfloat16) values, closer to it than float32 can represent.
  const double half = 1.0 + 0x1p-11;
  const double brain = 1.0 + 0x1p-8;
  const Tensor x = of<double>({half + 0x1p-50, half - 0x1p-50, half, brain + 0x1p-50, brain - 0x1p-50, 1e300, -1e-300});
  const auto h = values_of<float16>(x.to(DType::float16));
  const auto b = values_of<bfloat16>(x.to(DType::bfloat16));
  EXPECT_EQ(h[0].bits, 0x3C01);
  EXPECT_EQ(h[1].bits, 0x3C00);
  EXPECT_EQ(h[2].bits, 0x3C00);
  EXPECT_EQ(b[3].bits, 0x3F81);
  EXPECT_EQ(b[4].bits, 0x3F80);
  EXPECT_EQ(h[5].bits, 0x7C00);
  EXPECT_EQ(h[6].bits, 0x8000);
  const auto whole =
      values_of<bfloat16>(of<std::int32_t>({(1 << 30) + (1 << 22) + 1, (1 << 30) + (1 << 22)}).to(DType::bfloat16));
  EXPECT_EQ(whole[0].bits, whole[1].bits + 1);
  const std::int64_t middle = (std::int64_t{1} << 62) + (std::int64_t{1} << 54);  // the midpoint of two bfloat16 values
  const auto wide = values_of<bfloat16>(of<std::int64_t>({middle, middle + 1, -middle - 1, INT64_MIN}).to(DType::bfloat16));
  EXPECT_EQ(wide[0].bits, 0x5E80);
  EXPECT_EQ(wide[1].bits, 0x5E81);
  EXPECT_EQ(wide[2].bits, 0xDE81);
  EXPECT_EQ(wide[3].bits, 0xDF00);
}

TEST(TensorTest, ConvertsBetweenAllTypes) {
  std::vector<DType> all;
#define LAMELLA_DTYPE(enumerator, ...) all.push_back(DType::enumerator);
#include <lamella/dtype.def>
  const Tensor small = of<double>({0, 1, 3, 127});
  for (const DType from : all) {
    for (const DType to : all) {
      const bool truth = from == DType::boolean || to == DType::boolean;
      EXPECT_EQ(values_of<double>(small.to(from).to(to).to(DType::float64)),
                truth ? (std::vector<double>{0, 1, 1, 1}) : values_of<double>(small))
          << to_string(from) << ' ' << to_string(to);
      EXPECT_EQ(Tensor({0, 3}, from).to(to).shape(), (Shape{0, 3}));
    }
  }
}

}  // namespace
}  // namespace lamella
