// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <string>

#include "cpu/plans.hpp"

/// The only door to oneDNN, versions 2.6 to 3.
namespace lamella::cpu::onednn {

/// dst[batch, units] = activation(src[batch, inputs] . kernel + bias); float32 or bfloat16 operands, sums in float32.
struct ProductDesc {
  std::int64_t batch = 0;
  std::int64_t inputs = 0;
  std::int64_t units = 0;
  DType src = DType::float32;  ///< and of the packed kernel
  DType dst = DType::float32;
  DType rounded_to = DType::float32;  ///< what the constants are rounded to
  bool bias = false;
  const ActivationSpec* activation = nullptr;  ///< null: none
};

/// Whether oneDNN has an algorithm for this activation.
[[nodiscard]] bool has_activation(const ActivationSpec& activation);
/// Why this product cannot be made on this machine; empty when it can.
[[nodiscard]] std::string why_not(const ProductDesc& desc);

class Product {
 public:
  /// Packs the kernel, once for all plans of the layer that want the same layout. Throws Error (internal).
  Product(const ProductDesc& desc, const ConstantsPtr& constants);
  ~Product();
  Product(Product&&) noexcept;
  Product(const Product&) = delete;

  [[nodiscard]] std::size_t scratch_bytes() const noexcept;
  [[nodiscard]] std::unique_ptr<ops::PlanState> make_state() const;
  /// Runs in the calling thread. `state` is of this product. False, and nothing is done: the process ends. Throws std::bad_alloc
  /// where oneDNN finds no memory, Error (internal).
  [[nodiscard]] bool execute(void* dst, const void* src, void* scratch, ops::PlanState* state) const;

 private:
  struct Impl;
  std::unique_ptr<Impl> impl_;
};

}  // namespace lamella::cpu::onednn
