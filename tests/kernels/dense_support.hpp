// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "kernels/mma_layout.hpp"
#include "tests/kernels/activation_error.hpp"

/// Shared by the tests of Dense kernels. `Case` has dtype, batch, inputs, units and bias.
namespace lamella::test {

struct DenseData {
  std::vector<double> x, w, b;
};

/// Skips where the device's code has no tensor cores.
class TensorCoreTest : public testing::Test {
 protected:
  void SetUp() override {
    int architecture = 0;
    ASSERT_EQ(kernels::has_image(architecture), cudaSuccess);
    if (architecture < kernels::kMmaArchitecture) GTEST_SKIP() << "these kernels trap below compute capability 8.0";
  }
};

/// The kernel in the order of fragments, padded with zeros.
template <typename Case>
std::vector<double> fragments_of(const Case& c, const DenseData& data) {
  const kernels::MmaLayout layout{c.inputs, c.units};
  std::vector<double> fragments(static_cast<std::size_t>(layout.elements()));
  for (std::int64_t i = 0; i < c.inputs; ++i) {
    for (std::int64_t u = 0; u < c.units; ++u)
      fragments.at(static_cast<std::size_t>(layout.at(i, u))) = data.w[static_cast<std::size_t>(i * c.units + u)];
  }
  return fragments;
}

/// The sums in float64, and the sums of their terms' magnitudes.
struct Sums {
  std::vector<double> sum, size;
};
template <typename Case>
Sums sums_of(const Case& c, const DenseData& data) {
  Sums s;
  for (std::int64_t b = 0; b < c.batch; ++b) {
    for (std::int64_t u = 0; u < c.units; ++u) {
      double sum = c.bias ? data.b[static_cast<std::size_t>(u)] : 0;
      double size = std::fabs(sum);
      for (std::int64_t i = 0; i < c.inputs; ++i) {
        const double product =
            data.x[static_cast<std::size_t>(b * c.inputs + i)] * data.w[static_cast<std::size_t>(i * c.units + u)];
        sum += product;
        size += std::fabs(product);
      }
      s.sum.push_back(sum);
      s.size.push_back(size);
    }
  }
  return s;
}

/// Compares with sums in float64; each term of a sum may lose `unit` of its magnitude. Where tensor cores truncate sums, that is
/// at most one unit in the last place of the largest.
template <typename Case>
void expect_sums(const Case& c, const DenseData& data, const std::vector<double>& y, double unit) {
  const Sums s = sums_of(c, data);
  ASSERT_EQ(y.size(), s.sum.size());
  for (std::size_t i = 0; i < y.size(); ++i) {
    ASSERT_TRUE(is_rounded(y[i], s.sum[i], c.dtype, static_cast<double>(c.inputs + 2) * unit * s.size[i]))
        << to_string(c.dtype) << ' ' << c.batch << " x " << c.inputs << " x " << c.units << " at "
        << i / static_cast<std::size_t>(c.units) << ", " << i % static_cast<std::size_t>(c.units) << ": " << s.sum[i] << ", got "
        << y[i];
  }
}

}  // namespace lamella::test
