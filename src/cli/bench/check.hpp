// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <stdexcept>
#include <string>
#include <vector>

#include <lamella/tensor.hpp>

namespace lamella::bench {

/// A result differs from the reference's: its time is meaningless, and the run stops.
class WrongResult : public std::runtime_error {
 public:
  using std::runtime_error::runtime_error;
};

/// Standard normal values, equal for equal seeds. Never zeros, because products of zeros run faster.
[[nodiscard]] Tensor random_tensor(const Shape& shape, DType dtype, std::uint32_t seed);
/// All bits set: NaN in every floating dtype, so that missing writes are detected.
void poison(Tensor& host);

/// Rows to compare: first, last, and some drawn between; at most 32.
[[nodiscard]] std::vector<std::int64_t> sampled_rows(std::int64_t batch);
/// Copies of these rows of a host tensor.
[[nodiscard]] Tensor gather(const TensorView& host, const std::vector<std::int64_t>& rows);

/// Half the distance from 1 to the next larger number.
[[nodiscard]] double unit_roundoff(DType dtype);
/// The error that rounding may cause, relative to the largest value: `dtype` is the type that layers store, `inputs` the length
/// of the longest sum, `depth` the number of layers.
[[nodiscard]] double tolerance(DType dtype, std::int64_t inputs, std::int64_t depth);

/// `found`: the whole output; `expected`: its rows `rows` in float64. Throws WrongResult, whose text begins with `what`.
void expect_right(const std::string& what, const Tensor& found, const Tensor& expected, const std::vector<std::int64_t>& rows,
                  double tolerance);

}  // namespace lamella::bench
