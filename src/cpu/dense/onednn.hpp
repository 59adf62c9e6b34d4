// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <string>

#include "cpu/plans.hpp"

/// The only interface to oneDNN, versions 2.6 to 3.
namespace lamella::cpu::onednn {

/// dst[batch, units] = activation(src[batch, inputs] . kernel + bias); float32 or bfloat16 operands, sums in float32.
struct ProductDesc {
  std::int64_t batch = 0;
  std::int64_t inputs = 0;
  std::int64_t units = 0;
  DType src = DType::float32;  ///< also of the packed kernel
  DType dst = DType::float32;
  DType rounded_to = DType::float32;  ///< the type to which constants are rounded
  bool bias = false;
  const ActivationSpec* activation = nullptr;  ///< null: none
};

/// Whether oneDNN has an algorithm for this activation.
[[nodiscard]] bool has_activation(const ActivationSpec& activation);
/// Why this product is not available on this machine; empty if it is.
[[nodiscard]] std::string why_not(const ProductDesc& desc);

class Product {
 public:
  /// Packs the kernel, once for all plans of the layer with the same layout. Throws Error (internal).
  Product(const ProductDesc& desc, const ConstantsPtr& constants);
  ~Product();
  Product(const Product&) = delete;

  [[nodiscard]] std::size_t scratch_bytes() const noexcept;
  [[nodiscard]] std::unique_ptr<ops::PlanState> make_state() const;
  /// Runs in the calling thread. `state` must be this product's. Does nothing and returns false if the process is exiting. Throws
  /// std::bad_alloc if oneDNN runs out of memory, Error (internal).
  [[nodiscard]] bool execute(void* dst, const void* src, void* scratch, ops::PlanState* state) const;

 private:
  struct Impl;
  std::unique_ptr<Impl> impl_;
};

}  // namespace lamella::cpu::onednn
