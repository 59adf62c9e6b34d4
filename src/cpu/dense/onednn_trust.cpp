// SPDX-License-Identifier: Apache-2.0
#include "cpu/dense/onednn_trust.hpp"

#include <algorithm>
#include <cmath>
#include <limits>
#include <map>
#include <mutex>
#include <vector>

#include "core/activation_math.hpp"
#include "core/backend.hpp"
#include "cpu/dense/onednn.hpp"

namespace lamella::cpu::onednn {
namespace {

constexpr std::int64_t kWidth = 16;

/// Both signs of everything from the smallest normal number to the largest, 32 to an octave near 1, and what is special.
std::vector<float> probes() {
  std::vector<float> values{0.0F, std::numeric_limits<float>::infinity(), std::numeric_limits<float>::quiet_NaN(), 3.4e38F};
  for (float x = 1.2e-38F; x < 1e38F; x *= (x > 1e-3F && x < 200.0F) ? 1.0219F : 1.7F) values.push_back(x);
  const std::size_t n = values.size();
  for (std::size_t i = 0; i < n; ++i) values.push_back(-values[i]);
  return values;
}

std::vector<float> computed(const ActivationSpec& activation, const std::vector<float>& x) {
  const auto batch = static_cast<std::int64_t>(x.size());
  Tensor kernel = Tensor::zeros(Shape{kWidth, kWidth});
  std::fill_n(kernel.span<float>().begin(), kWidth, 1.0F);
  auto constants = std::make_shared<const ops::Constants>(std::vector{std::make_shared<const Tensor>(std::move(kernel))});
  ProductDesc desc{batch, kWidth, kWidth};
  desc.activation = &activation;
  const Product product(desc, constants);
  std::vector<float> src(x.size() * kWidth, 0.0F);
  for (std::size_t i = 0; i < x.size(); ++i) src[i * kWidth] = x[i];
  std::vector<float> dst(src.size());
  const auto scratch = core::allocate_host(product.scratch_bytes());
  const auto state = product.make_state();
  product.execute(dst.data(), src.data(), scratch.get(), state.get());
  std::vector<float> result(x.size());
  for (std::size_t i = 0; i < x.size(); ++i) result[i] = dst[i * kWidth];
  return result;
}

double unit_in_last_place(double value) {
  const double magnitude = std::max(std::fabs(value), static_cast<double>(std::numeric_limits<float>::min()));
  return std::ldexp(1.0, std::ilogb(magnitude) - 23);
}

std::string examine(const ActivationSpec& activation) {
  const std::vector<float> x = probes();
  const std::vector<float> y = computed(activation, x);
  const auto& p = activation.parameters;
  const double bound = std::max(1, ulp_bound(activation.kind));
  std::string why;
  core::visit_elementwise(activation.kind, [&](auto op) {
    for (std::size_t i = 0; i < x.size() && why.empty(); ++i) {
      const double want = decltype(op)::apply(static_cast<double>(x[i]), p[0], p[1], p[2]);
      const auto rounded = static_cast<float>(want);
      const bool same = std::isnan(rounded) ? std::isnan(y[i]) : y[i] == rounded;
      const double error = std::fabs(static_cast<double>(y[i]) - want) / unit_in_last_place(want);
      if (same || (std::isfinite(rounded) && error <= bound)) continue;
      why = core::concat("oneDNN's ", name(activation.kind), "(", x[i], ") is ", y[i], ", Keras' is ", rounded);
    }
  });
  return why;
}

}  // namespace

std::string why_not_trusted(const ActivationSpec& activation) {
  if (activation.kind == ActivationKind::Linear) return {};
  static std::mutex mutex;
  static std::map<std::pair<ActivationKind, std::array<double, 3>>, std::string> known;
  const std::lock_guard lock(mutex);
  const auto [it, fresh] = known.try_emplace({activation.kind, activation.parameters});
  if (fresh) it->second = examine(activation);
  return it->second;
}

}  // namespace lamella::cpu::onednn
