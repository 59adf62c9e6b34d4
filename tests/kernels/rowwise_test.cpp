// SPDX-License-Identifier: Apache-2.0
#include "tests/kernels/kernel_support.hpp"

#include <sys/mman.h>

#include <numeric>

namespace lamella::test {
namespace {

constexpr double kInf = std::numeric_limits<double>::infinity();
constexpr double kNaN = std::numeric_limits<double>::quiet_NaN();

struct Case {
  ActivationKind kind = ActivationKind::Softmax;
  DType dtype = DType::float32;
  std::int64_t outer = 1;
  std::int64_t length = 1;
  std::int64_t inner = 1;
  bool in_place = false;
  bool aligned = false;  ///< rows start at multiples of 16 bytes
};
std::ostream& operator<<(std::ostream& stream, const Case& c) {
  return stream << to_string(c.kind) << ' ' << to_string(c.dtype) << ' ' << c.outer << " x " << c.length << " x " << c.inner;
}

std::int64_t results(const Case& c) { return c.outer * (c.kind == ActivationKind::Glu ? c.length / 2 : c.length) * c.inner; }

std::vector<double> run(const Case& c, const std::vector<double>& x) {
  Buffer src(x, c.dtype, c.aligned);
  Buffer fresh(results(c), c.dtype, c.aligned);
  Buffer& dst = c.in_place ? src : fresh;
  kernels::Rowwise args{c.kind, c.dtype, src.data(), dst.data(), nullptr, c.outer, c.length, c.inner};
  Buffer workspace(static_cast<std::int64_t>(kernels::rowwise_workspace(args)), DType::uint8, true);
  args.workspace = workspace.data();
  EXPECT_EQ(kernels::rowwise(args, nullptr), cudaSuccess);
  EXPECT_TRUE(dst.guarded());
  return dst.values();
}

std::vector<double> softmax_truth(const std::vector<double>& x, bool logarithm) {
  const double shift = *std::max_element(x.begin(), x.end());
  long double total = 0;
  for (const double value : x) total += std::exp(static_cast<long double>(value - shift));
  std::vector<double> y;
  for (const double value : x) {
    const long double log = static_cast<long double>(value) - static_cast<long double>(shift) - std::log(total);
    y.push_back(static_cast<double>(logarithm ? log : std::exp(log)));
  }
  return y;
}

/// Keras' own steps, by sorting: its threshold uses the sum of the running sums.
std::vector<double> sparsemax_truth(const std::vector<double>& x) {
  std::vector<double> sorted = x;
  std::sort(sorted.rbegin(), sorted.rend());
  long double running = 0;
  long double sum = 0;
  std::size_t support = 0;
  for (std::size_t k = 0; k < sorted.size(); ++k) {
    running += static_cast<long double>(sorted[k]);
    if (!(1 + static_cast<long double>(k + 1) * static_cast<long double>(sorted[k]) > running)) break;
    sum += running;
    support = k + 1;
  }
  const long double tau = (sum - 1) / static_cast<long double>(support);
  std::vector<double> y;
  for (const double value : x) y.push_back(static_cast<double>(std::max(static_cast<long double>(value) - tau, 0.0L)));
  return y;
}

std::vector<double> glu_truth(const std::vector<double>& x) {
  std::vector<double> y;
  for (std::size_t i = 0; i < x.size() / 2; ++i) y.push_back(x[i] / (1 + std::exp(-x[x.size() / 2 + i])));
  return y;
}

std::vector<double> truth_of(ActivationKind kind, const std::vector<double>& x) {
  switch (kind) {
    case ActivationKind::Sparsemax:
      return sparsemax_truth(x);
    case ActivationKind::Glu:
      return glu_truth(x);
    default:
      return softmax_truth(x, kind == ActivationKind::LogSoftmax);
  }
}

/// The error before the last rounding. Exponentials are summed in trees, or in short sums that are then summed.
double error_of(const Case& c, double exact) {
  const double roundoff = spacing(compute_of(c.dtype), 1.0) / 2;
  const double terms = 40 + static_cast<double>(c.length) / 256;
  if (c.kind == ActivationKind::Softmax) return terms * roundoff * exact + 2 * spacing(compute_of(c.dtype), 0);
  if (c.kind == ActivationKind::LogSoftmax) return terms * roundoff * (1 + std::fabs(exact));
  if (c.kind == ActivationKind::Glu) return 8 * spacing(compute_of(c.dtype), exact);
  return 1e-12 * static_cast<double>(c.length) + spacing(compute_of(c.dtype), exact);
}

std::vector<double> check(const Case& c, double width = 3.0) {
  const std::vector<double> x = random_values(c.outer * c.length * c.inner, 11, c.dtype, width);
  const std::vector<double> y = run(c, x);
  const std::int64_t length = c.kind == ActivationKind::Glu ? c.length / 2 : c.length;
  for (std::int64_t o = 0; o < c.outer; ++o) {
    for (std::int64_t i = 0; i < c.inner; ++i) {
      std::vector<double> row;
      for (std::int64_t k = 0; k < c.length; ++k) row.push_back(x[static_cast<std::size_t>((o * c.length + k) * c.inner + i)]);
      if (row.empty()) continue;
      const std::vector<double> exact = truth_of(c.kind, row);
      for (std::int64_t k = 0; k < length; ++k) {
        const double got = y[static_cast<std::size_t>((o * length + k) * c.inner + i)];
        const double wanted = exact[static_cast<std::size_t>(k)];
        const bool right = is_rounded(got, wanted, c.dtype, error_of(c, wanted));
        EXPECT_TRUE(right) << c << " at " << o << ", " << k << ", " << i << ": " << wanted << ", got " << got;
        if (!right) return y;
      }
    }
  }
  return y;
}

class RowwiseTest : public testing::TestWithParam<ActivationKind> {
 protected:
  /// Glu's lengths are even.
  static std::int64_t length(std::int64_t n) { return GetParam() == ActivationKind::Glu ? n / 2 * 2 : n; }
};

/// Memory that ends at an unmapped page: a read past its end crashes.
class AtAnEdge {
 public:
  AtAnEdge()
      : pages_(
            static_cast<unsigned char*>(mmap(nullptr, 2 * kPage, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0))) {
    EXPECT_EQ(mprotect(pages_ + kPage, kPage, PROT_NONE), 0);
  }
  ~AtAnEdge() { munmap(pages_, 2 * kPage); }
  AtAnEdge(const AtAnEdge&) = delete;
  AtAnEdge& operator=(const AtAnEdge&) = delete;
  [[nodiscard]] void* last(std::size_t bytes) const { return pages_ + kPage - bytes; }

 private:
  static constexpr std::size_t kPage = 65536;
  unsigned char* pages_;
};

TEST_P(RowwiseTest, ReadsNothingPastItsLastRow) {
  for (const DType dtype : kFloating) {
    const auto half = static_cast<std::int64_t>(24 / size_of(dtype));  // rows are aligned to 16 bytes, half rows are not
    for (const std::int64_t outer : {1, 3}) {
      const AtAnEdge memory;
      const auto bytes = static_cast<std::size_t>(outer) * 48;
      Buffer dst(outer * 2 * half, dtype, true);
      kernels::Rowwise args{GetParam(), dtype, memory.last(bytes), dst.data(), nullptr, outer, 2 * half, 1};
      Buffer workspace(static_cast<std::int64_t>(kernels::rowwise_workspace(args)), DType::uint8, true);
      args.workspace = workspace.data();
      const Allocation rows(args.src, bytes, true);
      EXPECT_EQ(kernels::rowwise(args, nullptr), cudaSuccess);
    }
  }
}

/// The activations whose results are as long as the row and depend on all of it.
class MixingTest : public RowwiseTest {};

/// Rows that start at multiples of 16 bytes are read differently from others, but summed in the same order.
void check_anywhere(Case c) {
  c.aligned = false;
  const std::vector<double> odd = check(c);
  c.aligned = true;
  EXPECT_EQ(check(c), odd) << c;
}

TEST_P(RowwiseTest, IsRightForEveryLengthOfRow) {
  for (const DType dtype : kFloating) {
    for (const std::int64_t n :
         {1, 2, 3, 7, 15, 16, 17, 31, 32, 33, 40, 127, 128, 129, 255, 256, 257, 511, 512, 513, 1023, 1024, 1025})
      check_anywhere({GetParam(), dtype, 3, length(n), 1});
  }
}

TEST_P(RowwiseTest, IsRightForLongRows) {
  for (const DType dtype : kFloating) {
    for (const std::int64_t n : {4095, 4096, 4097}) check_anywhere({GetParam(), dtype, 1, length(n), 1});
  }
  for (const DType dtype : {DType::float32, DType::bfloat16}) {
    for (const std::int64_t n : {8191, 8192, 8193, 20011})
      check({GetParam(), dtype, n < 8192 ? 2 : 1, length(n), 1, false, n % 2 == 0});
  }
}

TEST_P(RowwiseTest, IsRightAlongAMiddleAxis) {
  for (const DType dtype : kFloating) {
    for (const std::int64_t inner : {2, 7, 31, 32, 33, 130}) {
      check({GetParam(), dtype, 3, length(9), inner});
      check({GetParam(), dtype, 1, length(16), inner});
      check({GetParam(), dtype, 1, length(17), inner});
      check({GetParam(), dtype, 1, length(133), inner});
    }
  }
}

TEST_P(RowwiseTest, TakesEmptyArrays) {
  check({GetParam(), DType::float32, 0, 4, 1});
  check({GetParam(), DType::float32, 4, 0, 1});
  check({GetParam(), DType::float32, 4, 4, 0});
}

TEST_P(MixingTest, WorksInPlace) {
  for (const DType dtype : kFloating) {
    for (const std::int64_t inner : {1, 3, 40}) {
      for (const std::int64_t n : {7, 129, 1027}) {
        if (n * inner < 4000) check({GetParam(), dtype, 2, n, inner, true});
      }
    }
  }
  check({GetParam(), DType::float32, 1, 9001, 1, true});
}

TEST_P(RowwiseTest, ASampleHasTheSameBitsInEveryBatch) {
  for (const std::int64_t inner : {1, 3, 40}) {
    for (const std::int64_t n : {10, 200, 450, 451, 1100, 1101}) {
      if (n * inner > 4000) continue;
      const Case many{GetParam(), DType::float32, 9, n, inner};
      const std::vector<double> x = random_values(9 * n * inner, 12, DType::float32, 3.0);
      const std::vector<double> all = run(many, x);
      Case one = many;
      one.outer = 1;
      const auto from = static_cast<std::ptrdiff_t>(8 * n * inner);
      const std::vector<double> last = run(one, {x.begin() + from, x.end()});
      EXPECT_TRUE(std::equal(last.rbegin(), last.rend(), all.rbegin())) << many;
    }
  }
}

/// NaN exactly where Keras gives NaN, and no effect of one row on another.
TEST_P(MixingTest, ConfinesNaNAndInfinityToTheirRow) {
  for (const std::int64_t n : {5, 60, 300, 501, 2000, 2001, 9000}) {
    for (const double odd : {kNaN, kInf}) {
      std::vector<double> x = random_values(3 * n, 13, DType::float32);
      x[static_cast<std::size_t>(n + n / 2)] = odd;
      const std::vector<double> y = run({GetParam(), DType::float32, 3, n, 1}, x);
      for (std::size_t i = 0; i < y.size(); ++i) {
        ASSERT_EQ(std::isnan(y[i]), i / static_cast<std::size_t>(n) == 1)
            << to_string(GetParam()) << ' ' << n << ' ' << odd << " at " << i;
      }
    }
  }
}

INSTANTIATE_TEST_SUITE_P(Each, RowwiseTest,
                         testing::Values(ActivationKind::Softmax, ActivationKind::LogSoftmax, ActivationKind::Sparsemax,
                                         ActivationKind::Glu),
                         [](const auto& tested) { return std::string(to_string(tested.param)); });

INSTANTIATE_TEST_SUITE_P(Each, MixingTest,
                         testing::Values(ActivationKind::Softmax, ActivationKind::LogSoftmax, ActivationKind::Sparsemax),
                         [](const auto& tested) { return std::string(to_string(tested.param)); });

TEST(SoftmaxKernelTest, GivesMinusInfinityNoShare) {
  for (const DType dtype : kFloating) {
    for (const std::int64_t n : {4, 130, 400, 401, 4000, 9000}) {
      std::vector<double> x(static_cast<std::size_t>(n), -kInf);
      x[1] = x[static_cast<std::size_t>(n) - 1] = 2.0;
      const std::vector<double> y = run({ActivationKind::Softmax, dtype, 1, n, 1}, x);
      for (std::int64_t i = 0; i < n; ++i) {
        ASSERT_EQ(y[static_cast<std::size_t>(i)], i == 1 || i == n - 1 ? 0.5 : 0.0)
            << to_string(dtype) << ' ' << n << " at " << i;
      }
    }
  }
}

TEST(SoftmaxKernelTest, IsNaNForARowOfMinusInfinities) {
  for (const ActivationKind kind : {ActivationKind::Softmax, ActivationKind::LogSoftmax}) {
    for (const DType dtype : kFloating) {
      for (const std::int64_t n : {6, 40, 130, 520, 521, 9000}) {
        std::vector<double> x(static_cast<std::size_t>(2 * n), -kInf);
        std::fill(x.begin() + static_cast<std::ptrdiff_t>(n), x.end(), 1.0);  // the other row is not affected
        const std::vector<double> y = run({kind, dtype, 2, n, 1}, x);
        for (std::int64_t i = 0; i < 2 * n; ++i) ASSERT_EQ(std::isnan(y[static_cast<std::size_t>(i)]), i < n) << n << " at " << i;
      }
    }
  }
}

TEST(SoftmaxKernelTest, ConfinesInfinityToItsColumn) {
  constexpr std::int64_t kLength = 21;
  for (const std::int64_t inner : {3, 40}) {
    for (const double odd : {-kInf, kInf, kNaN}) {
      std::vector<double> x = random_values(kLength * inner, 14, DType::float32);
      for (std::int64_t k = 0; k < kLength; ++k) x[static_cast<std::size_t>(k * inner + 1)] = odd;
      const std::vector<double> y = run({ActivationKind::Softmax, DType::float32, 1, kLength, inner}, x);
      for (std::int64_t i = 0; i < kLength * inner; ++i) {
        ASSERT_EQ(std::isnan(y[static_cast<std::size_t>(i)]), i % inner == 1) << inner << ' ' << odd << " at " << i;
      }
    }
  }
}

TEST(SoftmaxKernelTest, AcceptsLogitsThatOverflowTheExponential) {
  check({ActivationKind::Softmax, DType::float32, 4, 50, 1}, 300.0);
  check({ActivationKind::LogSoftmax, DType::float32, 4, 50, 1}, 300.0);
}

/// Softmax of rows of 0 and x; the exponentials are the device's own. With the sum's reciprocal alone, one result in five would
/// not be the nearest number.
TEST(SoftmaxKernelTest, DividesToTheNearestNumberExceptForRareLastBits) {
  constexpr std::int64_t kRows = 2000;
  const auto divided = [](auto e) {
    using T = decltype(e);
    const T sum = 1 + e;
    return static_cast<double>(static_cast<T>(static_cast<long double>(e) / static_cast<long double>(sum)));
  };
  for (const DType dtype : {DType::float32, DType::float64}) {
    std::vector<double> x;
    for (std::int64_t i = 0; i < kRows; ++i) x.push_back(static_cast<double>(i + 1) * -0x1p-8);
    Buffer src(x, dtype);
    Buffer exponentials(kRows, dtype);
    ASSERT_EQ(kernels::elementwise({ActivationKind::Exponential}, dtype, src.data(), exponentials.data(), kRows, nullptr),
              cudaSuccess);
    for (const std::int64_t inner : {std::int64_t{1}, kRows}) {
      std::vector<double> rows(2 * kRows);
      const auto second = [&](std::int64_t i) { return static_cast<std::size_t>(inner == 1 ? 2 * i + 1 : kRows + i); };
      for (std::int64_t i = 0; i < kRows; ++i) rows[second(i)] = x[static_cast<std::size_t>(i)];
      const std::vector<double> y = run({ActivationKind::Softmax, dtype, kRows / inner, 2, inner}, rows);
      int beside = 0;
      for (std::int64_t i = 0; i < kRows; ++i) {
        const double e = exponentials[static_cast<std::size_t>(i)];
        beside += y[second(i)] != (dtype == DType::float32 ? divided(static_cast<float>(e)) : divided(e)) ? 1 : 0;
      }
      EXPECT_LE(beside, kRows / 200) << to_string(dtype) << " along " << inner;
    }
  }
}

TEST(SparsemaxKernelTest, IsRightWhereElementsAreEqual) {
  for (const std::int64_t n : {3, 40, 700}) {
    std::vector<double> x;
    for (std::int64_t i = 0; i < n; ++i)
      x.push_back(-1.5 - static_cast<double>(i % 3) * 0.25);  // for logits above 0 no element exceeds Keras' threshold
    const std::vector<double> y = run({ActivationKind::Sparsemax, DType::float64, 1, n, 1}, x);
    const std::vector<double> exact = sparsemax_truth(x);
    for (std::size_t i = 0; i < x.size(); ++i) EXPECT_NEAR(y[i], exact[i], 1e-11 * static_cast<double>(n)) << n << " at " << i;
  }
}

/// Beyond 2^60 sums could exceed the range of floats.
TEST(SparsemaxKernelTest, HandlesLogitsOfAnySizeAsInFloat64) {
  for (const double size : {-0x1p59, 0x1p59, -0x1p61, 0x1p61, -0x1p120, 0x1p120}) {
    const std::vector<double> x = {size, size, -4 * std::fabs(size), size};
    EXPECT_EQ(run({ActivationKind::Sparsemax, DType::float32, 1, 4, 1}, x),
              run({ActivationKind::Sparsemax, DType::float64, 1, 4, 1}, x))
        << size;
  }
}

TEST(SparsemaxKernelTest, TakesMinusInfinityBesideFiniteElements) {
  const std::vector<double> y = run({ActivationKind::Sparsemax, DType::float32, 1, 3, 1}, {-kInf, 0.0, -kInf});
  EXPECT_THAT(y, testing::ElementsAre(0.0, 1.0, 0.0));
}

TEST(RowwiseKernelTest, RefusesWhatDoesNotWorkOnRows) {
  Buffer memory(4, DType::float32);
  kernels::Rowwise args{ActivationKind::Relu, DType::float32, memory.data(), memory.data(), nullptr, 1, 4, 1};
  EXPECT_EQ(kernels::rowwise(args, nullptr), cudaErrorInvalidValue);
}

}  // namespace
}  // namespace lamella::test
