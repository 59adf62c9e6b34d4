// SPDX-License-Identifier: Apache-2.0
#include "model/fold.hpp"

#include <algorithm>
#include <cmath>
#include <limits>

#include "core/visit_dtype.hpp"
#include "model/lower/weights.hpp"

namespace lamella::model {
namespace {

using What = Recipe::What;

/// Inputs of at most 2^kInputBits (about 10^18 in float32) may meet the weights: no sum overflows then, in either order.
template <typename T>
constexpr int kInputBits = std::is_same_v<T, double> ? 480 : 60;

/// The limit on sums of magnitudes that are multiplied by inputs of up to 2^kInputBits.
template <typename T>
double largest_sum() {
  return std::ldexp(static_cast<double>(std::numeric_limits<T>::max()), -kInputBits<T>);
}

/// Whether a number keeps all its bits.
template <typename T>
bool normal_or_zero(double value) {
  const T rounded = static_cast<T>(value);
  return rounded == T(0) ? value == 0.0 : std::isnormal(rounded);
}

/// One number for all, or one each.
class Factors {
 public:
  explicit Factors(const Tensor& values) : values_(numbers(values)) {}
  double operator[](std::size_t i) const { return values_[values_.size() == 1 ? 0 : i]; }
  [[nodiscard]] const std::vector<double>& all() const { return values_; }

 private:
  std::vector<double> values_;
};

/// Whether each constant is one number, or one per column of a matrix.
bool by_columns(const ops::AffineDesc& affine, std::int64_t columns) {
  return affine.sample.rank() == 0 || (affine.sample.rank() == 1 && affine.sample[0] == columns);
}

/// kernel[i, u] * factor(i, u) rounded once; Tensor() where a product is out of range, or where the magnitudes
/// that a unit adds up, with `extra(u)`, may overflow. `growth(i, u)`: the most that a partial result is multiplied by.
template <typename T, typename Factor, typename Growth, typename Extra>
Tensor scaled(const Tensor& kernel, std::size_t units, const Factor& factor, const Growth& growth, const Extra& extra) {
  const Tensor stored = kernel.to(dtype_v<T>);
  const auto from = stored.span<T>();
  Tensor result(kernel.shape(), dtype_v<T>);
  const auto to = result.span<T>();
  std::vector<double> sums(units);
  for (std::size_t k = 0; k < from.size(); ++k) {
    const std::size_t i = k / units;
    const std::size_t u = k % units;
    const double weight = static_cast<double>(from[k]);
    const double product = weight * factor(i, u);
    // The product of two normal doubles may underflow to zero itself.
    const bool lost = product == 0.0 && weight != 0.0 && factor(i, u) != 0.0;
    if (lost || !normal_or_zero<T>(product)) return {};
    to[k] = static_cast<T>(product);
    sums[u] += std::fabs(weight) * growth(i, u);
  }
  for (std::size_t u = 0; u < units; ++u) {
    if (!(sums[u] + extra(u) <= largest_sum<T>())) return {};
  }
  return result;
}

template <typename T>
std::optional<ConstantsPool::Values> behind(const ops::DenseDesc& dense, const ops::Constants& weights,
                                            const ops::Constants& factors, ConstantsPool& pool) {
  const auto& kernel = weights.values()[0];
  const auto bias = dense.has_bias ? weights.values()[1] : nullptr;
  const auto& scale = factors.values()[0];
  const auto& offset = factors.values()[1];
  const Factors s(*scale);
  const Factors o(*offset);
  if (!std::all_of(s.all().begin(), s.all().end(), normal_or_zero<T>)) return std::nullopt;
  const auto units = static_cast<std::size_t>(dense.units);
  const std::vector<double> b = bias ? numbers(*bias) : std::vector<double>(units);
  const auto new_kernel = pool.computed({What::kernel_scaled, dense.dtype, {kernel, scale, bias, offset}}, [&] {
    const auto growth = [&](std::size_t, std::size_t u) { return std::max(1.0, std::fabs(s[u])); };
    return scaled<T>(
        *kernel, units, [&](std::size_t, std::size_t u) { return s[u]; }, growth,
        [&](std::size_t u) { return std::fabs(b[u]) * growth(0, u) + std::fabs(o[u]); });
  });
  if (new_kernel->shape() != kernel->shape()) return std::nullopt;
  const auto new_bias = pool.computed({What::bias_scaled, dense.dtype, {bias, scale, offset}}, [&] {
    Tensor result({dense.units}, dtype_v<T>);
    for (std::size_t u = 0; u < units; ++u) result.span<T>()[u] = static_cast<T>(std::fma(b[u], s[u], o[u]));
    return result;
  });
  return ConstantsPool::Values{new_kernel, new_bias};
}

template <typename T>
std::optional<ConstantsPool::Values> before(const ops::DenseDesc& dense, const ops::Constants& weights,
                                            const ops::Constants& factors, ConstantsPool& pool) {
  const auto& kernel = weights.values()[0];
  const auto bias = dense.has_bias ? weights.values()[1] : nullptr;
  const auto& scale = factors.values()[0];
  const Factors s(*scale);
  const Factors o(factors[1]);
  if (std::any_of(o.all().begin(), o.all().end(), [](double offset) { return offset != 0.0; })) return std::nullopt;
  const bool in_range = std::all_of(s.all().begin(), s.all().end(), [](double factor) {
    return normal_or_zero<T>(factor) && std::fabs(factor) <= largest_sum<T>();
  });
  if (!in_range) return std::nullopt;
  const auto units = static_cast<std::size_t>(dense.units);
  const std::vector<double> b = bias ? numbers(*bias) : std::vector<double>(units);
  const auto new_kernel = pool.computed({What::kernel_of_scaled, dense.dtype, {kernel, scale, bias}}, [&] {
    return scaled<T>(
        *kernel, units, [&](std::size_t i, std::size_t) { return s[i]; },
        [&](std::size_t i, std::size_t) { return std::max(1.0, std::fabs(s[i])); },
        [&](std::size_t u) { return std::fabs(b[u]); });
  });
  if (new_kernel->shape() != kernel->shape()) return std::nullopt;
  ConstantsPool::Values values = weights.values();
  values[0] = new_kernel;
  return values;
}

}  // namespace

std::optional<ConstantsPool::Values> folded_behind(const ops::DenseDesc& dense, const ops::Constants& weights,
                                                   const ops::AffineDesc& affine, const ops::Constants& factors,
                                                   ConstantsPool& pool) {
  if (dense.dtype != affine.dtype || !by_columns(affine, dense.units)) return std::nullopt;
  if (dense.dtype == DType::float32) return behind<float>(dense, weights, factors, pool);
  if (dense.dtype == DType::float64) return behind<double>(dense, weights, factors, pool);
  return std::nullopt;
}

std::optional<ConstantsPool::Values> folded_before(const ops::DenseDesc& dense, const ops::Constants& weights,
                                                   const ops::AffineDesc& affine, const ops::Constants& factors,
                                                   ConstantsPool& pool) {
  if (dense.dtype != affine.dtype || !by_columns(affine, dense.inputs)) return std::nullopt;
  if (dense.dtype == DType::float32) return before<float>(dense, weights, factors, pool);
  if (dense.dtype == DType::float64) return before<double>(dense, weights, factors, pool);
  return std::nullopt;
}

}  // namespace lamella::model
