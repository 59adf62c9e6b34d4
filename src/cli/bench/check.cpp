// SPDX-License-Identifier: Apache-2.0
#include "cli/bench/check.hpp"

#include <algorithm>
#include <cmath>
#include <cstdio>
#include <cstring>
#include <random>
#include <set>

#include "core/format.hpp"

namespace lamella::bench {
namespace {

std::string found_and_expected(double found, double expected, double allowed) {
  char text[128];
  static_cast<void>(
      std::snprintf(text, sizeof text, "got %.9g, expected %.9g, allowed difference %.3g", found, expected, allowed));
  return text;
}

std::size_t row_elements(const Tensor& tensor) {
  const auto rows = static_cast<std::size_t>(tensor.shape()[0]);
  return rows == 0 ? 0 : static_cast<std::size_t>(tensor.shape().elements()) / rows;
}

}  // namespace

double unit_roundoff(DType dtype) {
  switch (dtype) {
    case DType::float64:
      return 0x1p-53;
    case DType::float16:
      return 0x1p-11;
    case DType::bfloat16:
      return 0x1p-9;
    default:
      return 0x1p-24;
  }
}

Tensor random_tensor(const Shape& shape, DType dtype, std::uint32_t seed) {
  Tensor result(shape);
  std::mt19937 random(seed);
  std::normal_distribution<float> normal;
  constexpr std::size_t kDistinct = (1U << 20U) + 7;  // then they repeat, because drawing more would take seconds
  const auto values = result.span<float>();
  for (std::size_t i = 0; i < values.size(); ++i) values[i] = i < kDistinct ? normal(random) : values[i - kDistinct];
  return dtype == DType::float32 ? std::move(result) : result.to(dtype);
}

void poison(Tensor& host) {
  if (host.bytes() != 0) std::memset(host.data(), 0xFF, host.bytes());
}

std::vector<std::int64_t> sampled_rows(std::int64_t batch) {
  constexpr std::size_t kMost = 32;
  std::set<std::int64_t> rows;
  if (batch <= static_cast<std::int64_t>(kMost)) {
    for (std::int64_t row = 0; row < batch; ++row) rows.insert(row);
  } else {
    rows = {0, batch - 1};
    std::mt19937_64 random(static_cast<std::uint64_t>(batch));
    std::uniform_int_distribution<std::int64_t> any(0, batch - 1);
    while (rows.size() < kMost) rows.insert(any(random));
  }
  return {rows.begin(), rows.end()};
}

Tensor gather(const TensorView& host, const std::vector<std::int64_t>& rows) {
  Tensor result(host.shape().with(0, static_cast<std::int64_t>(rows.size())), host.dtype());
  const std::size_t row_bytes = rows.empty() ? 0 : result.bytes() / rows.size();
  auto* to = static_cast<std::byte*>(result.data());
  for (std::size_t i = 0; i < rows.size() && row_bytes != 0; ++i) {
    const auto from = static_cast<std::size_t>(rows[i]) * row_bytes;
    std::memcpy(to + i * row_bytes, static_cast<const std::byte*>(host.data()) + from, row_bytes);
  }
  return result;
}

double tolerance(DType dtype, std::int64_t inputs, std::int64_t depth) {
  const double sums =
      dtype == DType::float64 ? unit_roundoff(DType::float64) : unit_roundoff(DType::float32);  // of the accumulators
  return static_cast<double>(depth) * (8 * unit_roundoff(dtype) + 4 * (8 + 2 * std::sqrt(static_cast<double>(inputs))) * sums);
}

void expect_right(const std::string& what, const Tensor& found, const Tensor& expected, const std::vector<std::int64_t>& rows,
                  double tolerance) {
  const Tensor all = found.to(DType::float64);
  const auto got = all.span<double>();
  if (const auto bad = std::find_if(got.begin(), got.end(), [](double v) { return std::isnan(v); }); bad != got.end()) {
    throw WrongResult(core::format("{}: element {} is NaN or was not written", what, bad - got.begin()));
  }
  const auto want = expected.span<double>();
  if (row_elements(all) * rows.size() != want.size()) throw WrongResult(what + ": the output and the reference differ in shape");
  double scale = 0;
  for (const double v : want) scale = std::max(scale, std::fabs(v));
  const double allowed = tolerance * std::max(scale, 1e-30);
  for (std::size_t i = 0; i < want.size(); ++i) {
    const std::size_t at = static_cast<std::size_t>(rows[i / row_elements(all)]) * row_elements(all) + i % row_elements(all);
    if (std::fabs(got[at] - want[i]) <= allowed) continue;
    throw WrongResult(core::format("{}: wrong at element {}: {}", what, at, found_and_expected(got[at], want[i], allowed)));
  }
}

}  // namespace lamella::bench
