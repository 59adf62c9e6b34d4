// SPDX-License-Identifier: Apache-2.0
#include "cpu/dense/onednn_trust.hpp"

#include <algorithm>
#include <memory>
#include <span>
#include <utility>
#include <vector>

#include "core/backend.hpp"
#include "core/trust.hpp"
#include "cpu/dense/onednn.hpp"
#include "cpu/dense/onednn_door.hpp"

namespace lamella::cpu::onednn {
namespace {

constexpr std::int64_t kWidth = 16;

/// y = activation(x) in the first column of a product with the identity, in a type.
void compute(const ActivationSpec& activation, DType dtype, std::span<const double> x, std::span<double> y) {
  const auto batch = static_cast<std::int64_t>(x.size());
  Tensor kernel = Tensor::zeros(Shape{kWidth, kWidth});
  std::fill_n(kernel.span<float>().begin(), kWidth, 1.0F);
  auto constants = std::make_shared<const ops::Constants>(std::vector{std::make_shared<const Tensor>(std::move(kernel))});
  ProductDesc desc{batch, kWidth, kWidth, dtype, dtype, dtype};
  desc.activation = &activation;
  const Product product(desc, constants);
  Tensor wide = Tensor::zeros(Shape{batch, kWidth});
  for (std::size_t i = 0; i < x.size(); ++i) wide.span<float>()[i * kWidth] = static_cast<float>(x[i]);
  const Tensor src = wide.to(dtype);
  Tensor dst(Shape{batch, kWidth}, dtype);
  const auto scratch = core::allocate_host(product.scratch_bytes());
  const auto state = product.make_state();
  if (!product.execute(dst.data(), src.data(), scratch.get(), state.get())) throw Ended();
  wide = dst.to(DType::float32);
  for (std::size_t i = 0; i < x.size(); ++i) y[i] = static_cast<double>(std::as_const(wide).span<float>()[i * kWidth]);
}

}  // namespace

std::string why_not_trusted(const ActivationSpec& activation, DType dtype) try {
  static auto& verdicts = *new core::Verdicts;  // never destroyed: static objects may predict until the process ends
  if (activation.kind == ActivationKind::Linear) return {};
  return verdicts.why_not({"oneDNN", activation, dtype},
                          [&](std::span<const double> x, std::span<double> y) { compute(activation, dtype, x, y); });
} catch (const Ended&) {
  return {};
}

}  // namespace lamella::cpu::onednn
