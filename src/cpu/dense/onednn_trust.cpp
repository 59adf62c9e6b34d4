// SPDX-License-Identifier: Apache-2.0
#include "cpu/dense/onednn_trust.hpp"

#include <algorithm>
#include <memory>
#include <span>
#include <vector>

#include "core/backend.hpp"
#include "core/trust.hpp"
#include "cpu/dense/onednn.hpp"
#include "cpu/dense/onednn_door.hpp"

namespace lamella::cpu::onednn {
namespace {

constexpr std::int64_t kWidth = 16;

/// y = activation(x) in the first column of a product with the identity.
void compute(const ActivationSpec& activation, std::span<const float> x, std::span<float> y) {
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
  if (!product.execute(dst.data(), src.data(), scratch.get(), state.get())) throw Ended();
  for (std::size_t i = 0; i < x.size(); ++i) y[i] = dst[i * kWidth];
}

}  // namespace

std::string why_not_trusted(const ActivationSpec& activation) try {
  if (activation.kind == ActivationKind::Linear) return {};
  return core::why_not_trusted("oneDNN", -1, activation,
                               [&](std::span<const float> x, std::span<float> y) { compute(activation, x, y); });
} catch (const Ended&) {
  return {};
}

}  // namespace lamella::cpu::onednn
