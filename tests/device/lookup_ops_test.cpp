// SPDX-License-Identifier: Apache-2.0
// Table rows, searches of sorted tables, and counts.
#include <gmock/gmock.h>

#include <algorithm>

#include "device/op_truth.hpp"

namespace lamella::test {
namespace {

constexpr DType kFloating[] = {DType::float32, DType::bfloat16, DType::float16, DType::float64};

TEST(GatherTest, ReadsRowsOfATableAndNothingOutsideIt) {
  constexpr double kInf = std::numeric_limits<double>::infinity();
  const std::vector<double> numbers{0, 2, -1, -3, 3, -4, 1.9, -0.9, 1e20, -kInf, std::nan("")};
  const std::vector<double> rows{0, 2, 2, 0, -1, -1, 1, 0, -1, -1, 0};  // -1: no such row
  const auto table = rounded(random_values(3 * 5, 1), DType::float32);
  for (const DType dtype : kFloating) {
    const auto held = rounded(table, dtype);
    for (const DType index : {DType::float32, DType::float64}) {
      const ops::GatherDesc d{static_cast<std::int64_t>(numbers.size()), 3, 5, index, dtype};
      const auto y = run(d, constants_of({table}), sources({numbers}, index), dtype, numbers.size() * 5);
      for (std::size_t i = 0; i < y.size(); ++i) {
        const double row = rows[i / 5];
        if (row < 0) {
          EXPECT_TRUE(std::isnan(y[i])) << i;
        } else {
          EXPECT_EQ(y[i], held[static_cast<std::size_t>(row) * 5 + i % 5]) << i;
        }
      }
    }
  }
}

TEST(GatherTest, TakesIntegersOfBothWidths) {
  const auto take = [](const auto& numbers, DType index) {
    Bytes src(sizeof(numbers));
    std::memcpy(src.data(), numbers, sizeof(numbers));
    return run(ops::GatherDesc{4, 3, 1, index, DType::float32}, constants_of({{10, 20, 30}}), {src}, DType::float32, 4);
  };
  const std::int32_t narrow[] = {2, -2, 0, 2147483647};
  const std::int64_t wide[] = {2, -2, 0, std::numeric_limits<std::int64_t>::min()};
  for (const auto& y : {take(narrow, DType::int32), take(wide, DType::int64)}) {
    EXPECT_THAT(std::vector<double>(y.begin(), y.begin() + 3), testing::ElementsAre(30, 20, 10));
    EXPECT_TRUE(std::isnan(y[3]));
  }
}

Bytes bytes_of(const std::vector<std::int64_t>& numbers) {
  Bytes bytes(numbers.size() * sizeof(std::int64_t));
  std::memcpy(bytes.data(), numbers.data(), numbers.size() * sizeof(std::int64_t));
  return bytes;
}

std::shared_ptr<const ops::Constants> tables_of(const std::vector<std::vector<std::int64_t>>& tables) {
  std::vector<std::shared_ptr<const Tensor>> constants;
  for (const auto& table : tables) {
    constants.push_back(std::make_shared<const Tensor>(Tensor::of<std::int64_t>(table, Shape{table.size()})));
  }
  return std::make_shared<const ops::Constants>(constants);
}

TEST(BucketTest, CountsTheBoundariesUpToTheNumber) {
  constexpr double kInf = std::numeric_limits<double>::infinity();
  const std::vector<double> edges{-1, 0.1, 0.1, 3, kInf};
  const std::vector<double> numbers{-2, -1, 0, 0.0999, 0.5, 3, 1e30, -kInf, kInf, std::nan(""), -0.0};
  const std::vector<double> want{0, 1, 1, 1, 3, 4, 4, 0, 5, 5, 1};
  const auto n = static_cast<std::int64_t>(numbers.size());
  for (const DType from : {DType::float32, DType::float64}) {
    EXPECT_EQ(run(ops::BucketDesc{n, 5, from}, constants_of({edges}), sources({numbers}, from), DType::int64, numbers.size()),
              want)
        << to_string(from);
  }
  // Boundaries are float32 even if x is not: 0.1 is less than 0.1f.
  EXPECT_THAT(
      run(ops::BucketDesc{2, 1, DType::float64}, constants_of({{0.1}}), sources({{0.1, 0.1F}}, DType::float64), DType::int64, 2),
      testing::ElementsAre(0, 1));
  const auto many = random_values(3001, 1);
  auto sorted = rounded(random_values(1027, 2), DType::float32);
  std::sort(sorted.begin(), sorted.end());
  const auto y = run(ops::BucketDesc{3001, 1027, DType::float32}, constants_of({sorted}), sources({many}, DType::float32),
                     DType::int64, many.size());
  for (std::size_t i = 0; i < many.size(); ++i) {
    const double x = rounded({many[i]}, DType::float32)[0];
    EXPECT_EQ(y[i], std::upper_bound(sorted.begin(), sorted.end(), x) - sorted.begin()) << i;
  }
}

TEST(LookupTest, FindsKeysAndHashesTheRest) {
  constexpr std::int64_t kLeast = std::numeric_limits<std::int64_t>::min();
  constexpr std::int64_t kMost = std::numeric_limits<std::int64_t>::max();
  const std::vector<std::int64_t> keys{kLeast, -5, 0, 7, std::int64_t{1} << 40, kMost};
  const std::vector<std::int64_t> values{60, 50, 40, 30, 20, 10};
  const std::vector<std::int64_t> numbers{7, 8,        -5, -6, kLeast, kMost, std::int64_t{1} << 40, (std::int64_t{1} << 40) + 1,
                                          0, kMost - 1};
  const auto n = static_cast<std::int64_t>(numbers.size());
  const auto found = [&](std::int64_t otherwise, std::int64_t hashes) {
    return run(ops::LookupDesc{n, 6, otherwise, hashes}, tables_of({keys, values}), {bytes_of(numbers)}, DType::int64,
               numbers.size());
  };
  EXPECT_THAT(found(-1, 0), testing::ElementsAre(30, -1, 50, -1, 60, 10, 20, -1, 40, -1));
  EXPECT_THAT(found(2, 3), testing::ElementsAre(30, 4, 50, 2, 60, 10, 20, 4, 40, 2));
}

TEST(HashTest, BinsAreThoseOfTensorFlow) {
  constexpr std::int64_t kMost = std::numeric_limits<std::int64_t>::max();
  const std::vector<std::int64_t> numbers{
      0, -1, 12, -123, 1234, 1234567, -1234567, 12345678, 1234567890123456, -1234567890123456, kMost, -kMost - 1};
  const auto bins = [&](const ops::HashRule& rule) {
    return run(ops::HashDesc{static_cast<std::int64_t>(numbers.size()), rule}, constants_of({}), {bytes_of(numbers)},
               DType::int64, numbers.size());
  };
  EXPECT_THAT(bins({.bins = 1000003}), testing::ElementsAre(537292, 285648, 477529, 991494, 755216, 22860, 454908, 470335, 857634,
                                                            438067, 121738, 400334));
  EXPECT_THAT(
      bins({.bins = 1000003, .keyed = true, .key0 = 133, .key1 = 137}),
      testing::ElementsAre(876599, 432051, 378240, 861878, 754843, 456820, 84090, 100339, 608427, 104572, 462284, 247356));
  const auto masked = bins({.bins = 2, .first = 1, .masks = true, .mask = -123});
  EXPECT_EQ(masked[3], 0);
  EXPECT_EQ(std::count(masked.begin(), masked.end(), 0), 1);
  const auto unsigned_bins = bins({.bins = 1000003, .is_unsigned = true});
  EXPECT_THAT((std::vector<double>{unsigned_bins[1], unsigned_bins[11]}), testing::ElementsAre(373187, 635702));
}

TEST(CountTest, CountsExactlyTheNumbersInRange) {
  const std::vector<double> numbers{0, 2, 2, 2, -1, 5, 3, 1e18};
  for (const DType dtype : kFloating) {
    for (const DType index : {DType::int32, DType::int64, DType::float32, DType::float64}) {
      if (index == DType::int32 && dtype != DType::float32) continue;
      std::vector<double> given = numbers;
      if (index == DType::int32) given.back() = 2147483647;
      std::vector<Bytes> srcs = sources({given}, index);
      EXPECT_THAT(run(ops::CountDesc{2, 4, 3, false, index, dtype}, constants_of({}), srcs, dtype, 6),
                  testing::ElementsAre(1, 0, 3, 0, 0, 0));
      EXPECT_THAT(run(ops::CountDesc{2, 4, 4, true, index, dtype}, constants_of({}), srcs, dtype, 8),
                  testing::ElementsAre(1, 0, 1, 0, 0, 0, 0, 1));
    }
  }
  EXPECT_THAT(run(ops::CountDesc{4, 1, 2, true, DType::float32, DType::float32}, constants_of({}),
                  sources({{1, 0.5, std::nan(""), -0.0}}, DType::float32), DType::float32, 8),
              testing::ElementsAre(0, 1, 0, 0, 0, 0, 1, 0));
  EXPECT_THAT(run(ops::CountDesc{1, 0, 2, true, DType::float32, DType::float32}, constants_of({}), sources({{}}, DType::float32),
                  DType::float32, 2),
              testing::ElementsAre(0, 0));
  // A sum in bfloat16 would end at 256.
  EXPECT_THAT(run(ops::CountDesc{1, 1000, 2, false, DType::float32, DType::bfloat16}, constants_of({}),
                  sources({std::vector<double>(1000, 1.0)}, DType::float32), DType::bfloat16, 2),
              testing::ElementsAre(0, 1000));
}

}  // namespace
}  // namespace lamella::test
