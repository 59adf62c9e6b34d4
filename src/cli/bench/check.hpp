// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <stdexcept>
#include <string>
#include <vector>

#include <lamella/tensor.hpp>

namespace lamella::bench {

/// A way gave another answer than the reference: its time means nothing, and the run stops.
class WrongResult : public std::runtime_error {
 public:
  using std::runtime_error::runtime_error;
};

/// Standard normal values, the same for the same seed. Never zeros: products of zeros run faster.
[[nodiscard]] Tensor random_tensor(const Shape& shape, DType dtype, std::uint32_t seed);
/// All bits set: NaN in every floating dtype, so that what is not written is seen.
void poison(Tensor& host);

/// Rows to compare: first, last, and some drawn between; at most 32.
[[nodiscard]] std::vector<std::int64_t> sampled_rows(std::int64_t batch);
/// Copies of these rows of a host tensor.
[[nodiscard]] Tensor gather(const TensorView& host, const std::vector<std::int64_t>& rows);

/// Half the distance from 1 to the next larger number.
[[nodiscard]] double unit_roundoff(DType dtype);
/// What rounding allows, relative to the largest value: `dtype` is what layers store, `inputs` the longest sum, `depth` their
/// number.
[[nodiscard]] double tolerance(DType dtype, std::int64_t inputs, std::int64_t depth);

/// `found`: the whole output; `expected`: float64, the rows `rows` of it. Throws WrongResult that begins with `what`.
void expect_right(const std::string& what, const Tensor& found, const Tensor& expected, const std::vector<std::int64_t>& rows,
                  double tolerance);

}  // namespace lamella::bench
