// SPDX-License-Identifier: Apache-2.0
#include <algorithm>
#include <cstring>
#include <functional>
#include <memory>
#include <span>
#include <utility>

#include "core/backend.hpp"
#include "core/budget.hpp"
#include "cuda/plans.hpp"
#include "kernels/mma_float32.hpp"
#include "kernels/mma_layout.hpp"
#include "kernels/quantized_layout.hpp"
#include "kernels/stack.hpp"
#include "kernels/stack_cluster.hpp"
#include "ops/quantized_weights.hpp"

namespace lamella::cuda {
namespace {

constexpr std::int64_t kRowBytes = 16;  ///< the widest access of a GPU, and the row alignment that tensor cores need

/// The bytes for the device, in host memory; `copy` owns them if a conversion was needed.
using Host = std::function<TensorView(const ops::Constants&, Tensor& copy)>;

/// The value as elements of `as`, each first rounded to `rounded_to`; `copy` owns them if a conversion was needed.
const Tensor& converted(const Tensor& value, DType rounded_to, DType as, Tensor& copy) {
  if (value.dtype() == as && rounded_to == as) return value;
  copy = value.to(rounded_to).to(as);
  return copy;
}

ops::Packed uploaded(const ops::Constants& constants, const ops::PlanContext& context, Host host) {
  core::Backend& backend = *context.backend;
  Tensor copy;
  const TensorView view = host(constants, copy);
  const auto charge = core::charge(context.budget, view.bytes(), "weights");
  auto memory = core::charged(backend.allocate(context.device_index, view.bytes()), charge);
  backend.copy(context.device_index, memory.get(), view.data(), view.bytes());
  auto renew = [memory, host = std::move(host)](const ConstantsPtr& other) -> ops::Writes {
    const auto made = std::make_shared<std::pair<ConstantsPtr, Tensor>>(other, Tensor());
    const TensorView from = host(*other, made->second);
    return {{memory, {made, from.data()}, from.bytes(), /*on_host=*/false}};
  };
  return {memory, std::move(renew)};
}

}  // namespace

std::int64_t padded_stride(std::int64_t units, DType dtype) {
  const std::int64_t elements = kRowBytes / static_cast<std::int64_t>(size_of(dtype));
  return (units + elements - 1) / elements * elements;
}

std::shared_ptr<const void> constant_on_device(const ConstantsPtr& constants, std::size_t i, DType rounded_to, DType as,
                                               const ops::PlanContext& context) {
  const auto host = [i, rounded_to, as](const ops::Constants& of, Tensor& copy) {
    return converted(of[i], rounded_to, as, copy).view();
  };
  const auto make = [&] { return uploaded(*constants, context, host); };
  return constants->derived({.constant = i, .rounded_to = rounded_to, .as = as, .device = context.device_index}, make);
}

DeviceKernel kernel_on_device(const ConstantsPtr& constants, const ops::DenseDesc& desc, const ops::PlanContext& context) {
  const std::int64_t inputs = desc.inputs;
  const std::int64_t units = desc.units;
  const DType dtype = desc.dtype;
  const std::int64_t stride = padded_stride(units, dtype);
  const auto host = [inputs, units, dtype, stride](const ops::Constants& of, Tensor& copy) -> TensorView {
    const Tensor& value = converted(of[0], dtype, dtype, copy);
    if (stride == units) return value.view();
    Tensor padded = Tensor::zeros({inputs, stride}, dtype);
    const std::size_t row = static_cast<std::size_t>(units) * size_of(dtype);
    const std::size_t padded_row = static_cast<std::size_t>(stride) * size_of(dtype);
    for (std::size_t r = 0; r < static_cast<std::size_t>(inputs); ++r) {
      std::memcpy(static_cast<std::byte*>(padded.data()) + r * padded_row, static_cast<const std::byte*>(value.data()) + r * row,
                  row);
    }
    copy = std::move(padded);
    return std::as_const(copy).view();
  };
  const auto make = [&] { return uploaded(*constants, context, host); };
  const ops::Form form{
      .layout = ops::Form::Layout::aligned_rows, .rounded_to = dtype, .as = dtype, .device = context.device_index};
  return {constants->derived(form, make), stride};
}

std::shared_ptr<const void> fragments_on_device(const ConstantsPtr& constants, const ops::DenseDesc& desc,
                                                const ops::PlanContext& context) {
  const DType dtype = desc.dtype;
  const auto host = [dtype, inputs = desc.inputs, units = desc.units](const ops::Constants& of, Tensor& copy) -> TensorView {
    const Tensor& value = converted(of[0], dtype, dtype, copy);
    const kernels::MmaLayout layout{inputs, units};
    Tensor packed = Tensor::zeros({layout.elements()}, dtype);
    const auto* const from = static_cast<const std::uint16_t*>(value.data());
    auto* const to = static_cast<std::uint16_t*>(packed.data());
    for (std::int64_t i = 0; i < inputs; ++i) {
      for (std::int64_t u = 0; u < units; ++u) to[layout.at(i, u)] = from[i * units + u];
    }
    copy = std::move(packed);
    return std::as_const(copy).view();
  };
  const auto make = [&] { return uploaded(*constants, context, host); };
  const ops::Form form{.layout = ops::Form::Layout::fragments, .rounded_to = dtype, .as = dtype, .device = context.device_index};
  return constants->derived(form, make);
}

std::shared_ptr<const void> parts_on_device(const ConstantsPtr& constants, const ops::DenseDesc& desc,
                                            const ops::PlanContext& context) {
  const auto host = [inputs = desc.inputs, units = desc.units](const ops::Constants& of, Tensor& copy) -> TensorView {
    using Layout = kernels::MmaFloat32Layout;
    const Tensor& value = converted(of[0], DType::float32, DType::float32, copy);
    const Layout layout{inputs, units};
    Tensor packed = Tensor::zeros({layout.elements()}, DType::bfloat16);
    const auto* from = static_cast<const float*>(value.data());
    auto* const to = static_cast<std::uint16_t*>(packed.data());
    for (std::int64_t i = 0; i < inputs; ++i) {
      for (std::int64_t u = 0; u < units; ++u, ++from) {
        const kernels::MmaParts parts = kernels::mma_parts(*from);
        const std::int64_t at = layout.at(i, u);
        to[at] = parts.high;
        to[at + Layout::kPart] = parts.middle;
        to[at + 2 * Layout::kPart] = parts.low;
      }
    }
    copy = std::move(packed);
    return std::as_const(copy).view();
  };
  const auto make = [&] { return uploaded(*constants, context, host); };
  return constants->derived({.layout = ops::Form::Layout::parts, .device = context.device_index}, make);
}

namespace {

/// A constant of a quantized layer, which `host` packs.
template <typename Host>
std::shared_ptr<const void> packed_on_device(const ConstantsPtr& constants, std::size_t constant, DType dtype,
                                             const ops::PlanContext& context, const Host& host) {
  const auto make = [&] { return uploaded(*constants, context, host); };
  const ops::Form form{.layout = ops::Form::Layout::fragments,
                       .constant = constant,
                       .rounded_to = dtype,
                       .as = dtype,
                       .device = context.device_index};
  return constants->derived(form, make);
}

}  // namespace

std::shared_ptr<const void> integers_on_device(const ConstantsPtr& constants, const ops::QuantizedDenseDesc& desc,
                                               const ops::PlanContext& context) {
  const auto host = [desc](const ops::Constants& of, Tensor& copy) -> TensorView {
    const bool int4 = desc.format == ops::WeightFormat::int4;
    const kernels::QuantizedLayout layout{desc.inputs, desc.units, int4};
    Tensor packed = Tensor::zeros({layout.bytes()}, DType::uint8);
    const auto* const from = static_cast<const std::uint8_t*>(of[ops::QuantizedConstants::weights].data());
    auto* const to = static_cast<std::uint8_t*>(packed.data());
    if (int4) std::fill_n(to, layout.bytes(), kernels::QuantizedLayout::kZeros);
    for (std::int64_t i = 0; i < desc.inputs; ++i) {
      for (std::int64_t u = 0; u < desc.units; ++u) {
        const auto q = static_cast<unsigned>(ops::weight_at(from, desc, i, u));
        const unsigned half = layout.is_upper(i) ? 4 : 0;
        std::uint8_t& byte = to[layout.at(i, u)];
        byte = static_cast<std::uint8_t>(int4 ? (byte & (0xF0U >> half)) | ((q + 8) & 15U) << half : q);
      }
    }
    copy = std::move(packed);
    return std::as_const(copy).view();
  };
  return packed_on_device(constants, ops::QuantizedConstants::weights, DType::int8, context, host);
}

std::shared_ptr<const void> groups_on_device(const ConstantsPtr& constants, const ops::QuantizedDenseDesc& desc,
                                             const ops::PlanContext& context) {
  const auto host = [inputs = desc.inputs](const ops::Constants& of, Tensor& copy) -> TensorView {
    constexpr std::int64_t kRun = kernels::kRunInputs;
    const auto* const from = static_cast<const std::int32_t*>(of[ops::QuantizedConstants::group].data());
    const std::int64_t runs = (inputs + kRun - 1) / kRun;
    Tensor packed = Tensor::zeros({runs + inputs}, DType::int32);
    auto* const to = static_cast<std::int32_t*>(packed.data());
    for (std::int64_t i = 0; i < inputs; i += kRun) {
      const bool one = std::all_of(from + i, from + std::min(inputs, i + kRun), [&](std::int32_t g) { return g == from[i]; });
      to[i / kRun] = one ? from[i] : -1;
    }
    std::copy_n(from, inputs, to + runs);
    copy = std::move(packed);
    return std::as_const(copy).view();
  };
  return packed_on_device(constants, ops::QuantizedConstants::group, DType::int32, context, host);
}

namespace {

/// Kernels, then biases, in the order of Layout.
template <typename Layout>
TensorView packed_stack(const ops::Constants& of, std::span<const kernels::StackLayer> layers, const std::vector<bool>& has_bias,
                        DType dtype, Tensor& copy) {
  const Layout layout(layers, dtype);
  const std::size_t size = size_of(dtype);
  const std::size_t weight_bytes = static_cast<std::size_t>(layout.elements()) * size;
  const std::size_t bias_bytes = static_cast<std::size_t>(layout.bias_elements()) * sizeof(float);
  Tensor packed = Tensor::zeros({weight_bytes + bias_bytes}, DType::int8);
  auto* const weights = static_cast<std::byte*>(packed.data());
  auto* const biases = reinterpret_cast<float*>(weights + weight_bytes);
  std::size_t constant = 0;
  for (std::size_t n = 0; n < layers.size(); ++n) {
    const std::int64_t units = layers[n].units;
    const Tensor& kernel = converted(of[constant++], dtype, dtype, copy);
    const auto* from = static_cast<const std::byte*>(kernel.data());
    auto* const to = weights + static_cast<std::size_t>(layout.kernel(n)) * size;
    for (std::int64_t i = 0; i < layers[n].inputs; ++i) {
      for (std::int64_t u = 0; u < units; ++u, from += size)
        std::memcpy(to + static_cast<std::size_t>(layout.at(n, i, u)) * size, from, size);
    }
    std::fill_n(biases + layout.bias(n), units, -0.0F);  // x + -0 is x
    if (!has_bias[n]) continue;
    const Tensor& bias = converted(of[constant++], dtype, DType::float32, copy);
    std::copy_n(static_cast<const float*>(bias.data()), units, biases + layout.bias(n));
  }
  copy = std::move(packed);
  return std::as_const(copy).view();
}

template <typename Layout>
std::shared_ptr<const DeviceStack> layers_on_device(const ConstantsPtr& constants, const ops::StackDesc& desc,
                                                    const ops::PlanContext& context, ops::Form::Layout order) {
  std::vector<kernels::StackLayer> layers;
  ops::Form form{.layout = order, .rounded_to = desc.dtype, .as = desc.dtype, .device = context.device_index};
  std::vector<bool> has_bias;
  for (const auto& layer : desc.layers) {
    if (!layer.is_dense) continue;
    layers.push_back({layer.inputs, layer.units, {}});
    has_bias.push_back(layer.has_bias);
    form.cut.insert(form.cut.end(), {layer.inputs, layer.units, static_cast<std::int64_t>(layer.has_bias)});
  }
  const DType dtype = desc.dtype;
  const auto host = [layers, has_bias, dtype](const ops::Constants& of, Tensor& copy) {
    return packed_stack<Layout>(of, layers, has_bias, dtype, copy);
  };
  const auto make = [&]() -> ops::Packed {
    ops::Packed memory = uploaded(*constants, context, host);
    const auto* const weights = static_cast<const std::byte*>(memory.data.get());
    const auto elements = static_cast<std::size_t>(Layout(layers, dtype).elements());
    const auto* const bias = reinterpret_cast<const float*>(weights + elements * size_of(dtype));
    return {std::make_shared<const DeviceStack>(DeviceStack{memory.data, weights, bias}), std::move(memory.renew)};
  };
  return std::static_pointer_cast<const DeviceStack>(constants->derived(form, make));
}

}  // namespace

std::shared_ptr<const DeviceStack> stack_on_device(const ConstantsPtr& constants, const ops::StackDesc& desc,
                                                   const ops::PlanContext& context) {
  return layers_on_device<kernels::StackLayout>(constants, desc, context, ops::Form::Layout::stack);
}
std::shared_ptr<const DeviceStack> cluster_on_device(const ConstantsPtr& constants, const ops::StackDesc& desc,
                                                     const ops::PlanContext& context) {
  return layers_on_device<kernels::ClusterLayout>(constants, desc, context, ops::Form::Layout::cluster);
}

}  // namespace lamella::cuda
