// SPDX-License-Identifier: Apache-2.0
#include <cstring>
#include <utility>

#include "core/backend.hpp"
#include "core/budget.hpp"
#include "cuda/plans.hpp"
#include "kernels/mma_layout.hpp"

namespace lamella::cuda {
namespace {

constexpr std::int64_t kRowBytes = 16;  ///< the widest access of a GPU, and what tensor cores want of a row

/// The value as elements of `as`, each rounded to `rounded_to` on the way; `copy` owns what had to be made.
const Tensor& converted(const Tensor& value, DType rounded_to, DType as, Tensor& copy) {
  if (value.dtype() == as && rounded_to == as) return value;
  copy = value.to(rounded_to).to(as);
  return copy;
}

std::shared_ptr<const void> uploaded(const void* data, std::size_t bytes, const ops::PlanContext& context) {
  core::Backend& backend = *context.backend;
  const auto charge = core::charge(context.budget, bytes, "weights");
  auto memory = backend.allocate(context.device_index, bytes);
  backend.copy(context.device_index, memory.get(), data, bytes);
  return core::charged(std::move(memory), charge);
}

}  // namespace

std::int64_t padded_stride(std::int64_t units, DType dtype) {
  const std::int64_t elements = kRowBytes / static_cast<std::int64_t>(size_of(dtype));
  return (units + elements - 1) / elements * elements;
}

std::shared_ptr<const void> constant_on_device(const ConstantsPtr& constants, std::size_t i, DType rounded_to, DType as,
                                               const ops::PlanContext& context) {
  const auto make = [&]() -> std::shared_ptr<const void> {
    Tensor copy;
    const Tensor& value = converted((*constants)[i], rounded_to, as, copy);
    return uploaded(value.data(), value.bytes(), context);
  };
  return constants->derived({.constant = i, .rounded_to = rounded_to, .as = as, .device = context.device_index}, make);
}

DeviceKernel kernel_on_device(const ConstantsPtr& constants, const ops::DenseDesc& desc, const ops::PlanContext& context) {
  const std::int64_t inputs = desc.inputs;
  const std::int64_t units = desc.units;
  const DType dtype = desc.dtype;
  const std::int64_t stride = padded_stride(units, dtype);
  const auto make = [&]() -> std::shared_ptr<const void> {
    Tensor copy;
    const Tensor& value = converted((*constants)[0], dtype, dtype, copy);
    if (stride == units) return uploaded(value.data(), value.bytes(), context);
    Tensor padded = Tensor::zeros({inputs, stride}, dtype);
    const std::size_t row = static_cast<std::size_t>(units) * size_of(dtype);
    const std::size_t padded_row = static_cast<std::size_t>(stride) * size_of(dtype);
    for (std::size_t r = 0; r < static_cast<std::size_t>(inputs); ++r) {
      std::memcpy(static_cast<std::byte*>(padded.data()) + r * padded_row, static_cast<const std::byte*>(value.data()) + r * row,
                  row);
    }
    return uploaded(std::as_const(padded).data(), padded.bytes(), context);
  };
  const ops::Form form{
      .layout = ops::Form::Layout::aligned_rows, .rounded_to = dtype, .as = dtype, .device = context.device_index};
  return {constants->derived(form, make), stride};
}

std::shared_ptr<const void> fragments_on_device(const ConstantsPtr& constants, const ops::DenseDesc& desc,
                                                const ops::PlanContext& context) {
  const DType dtype = desc.dtype;
  const auto make = [&]() -> std::shared_ptr<const void> {
    Tensor copy;
    const Tensor& value = converted((*constants)[0], dtype, dtype, copy);
    const kernels::MmaLayout layout{desc.inputs, desc.units};
    Tensor packed = Tensor::zeros({layout.elements()}, dtype);
    const auto* const from = static_cast<const std::uint16_t*>(value.data());
    auto* const to = static_cast<std::uint16_t*>(packed.data());
    for (std::int64_t i = 0; i < desc.inputs; ++i) {
      for (std::int64_t u = 0; u < desc.units; ++u) to[layout.at(i, u)] = from[i * desc.units + u];
    }
    return uploaded(std::as_const(packed).data(), packed.bytes(), context);
  };
  const ops::Form form{.layout = ops::Form::Layout::fragments, .rounded_to = dtype, .as = dtype, .device = context.device_index};
  return constants->derived(form, make);
}

}  // namespace lamella::cuda
