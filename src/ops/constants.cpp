// SPDX-License-Identifier: Apache-2.0
#include "ops/constants.hpp"

#include <algorithm>

#include "core/check.hpp"
#include "ops/broadcast.hpp"
#include "ops/quantized_dense.hpp"

namespace lamella::ops {
namespace {

std::int64_t spread(const Shape& constant, const Shape& sample) {
  LAMELLA_ASSERT(broadcasts(constant, sample), "a constant of shape {} for a sample {}", to_string(constant), to_string(sample));
  return constant.elements();
}

/// The number of elements of each constant, in order; by default there are none.
struct Sizes {
  template <typename D>
  std::vector<std::int64_t> operator()(const D&) const {
    return {};
  }
  std::vector<std::int64_t> operator()(const DenseDesc& d) const {
    const auto kernel = core::checked_mul(d.inputs, d.units);
    LAMELLA_ASSERT(kernel, "a kernel of {} x {}", d.inputs, d.units);
    return d.has_bias ? std::vector{*kernel, d.units} : std::vector{*kernel};
  }
  std::vector<std::int64_t> operator()(const StackDesc& d) const {
    std::vector<std::int64_t> sizes;
    for (const StackDesc::Layer& layer : d.layers) {
      if (!layer.is_dense) continue;
      DenseDesc dense;
      dense.inputs = layer.inputs;
      dense.units = layer.units;
      dense.has_bias = layer.has_bias;
      const std::vector<std::int64_t> some = (*this)(dense);
      sizes.insert(sizes.end(), some.begin(), some.end());
    }
    return sizes;
  }
  std::vector<std::int64_t> operator()(const LayerNormalizationDesc& d) const {
    return std::vector(static_cast<std::size_t>(d.has_gamma) + static_cast<std::size_t>(d.has_beta), d.length);
  }
  std::vector<std::int64_t> operator()(const AffineDesc& d) const {
    return {spread(d.scale, d.sample), spread(d.offset, d.sample)};
  }
  std::vector<std::int64_t> operator()(const PReluDesc& d) const { return {spread(d.alpha, d.sample)}; }
  std::vector<std::int64_t> operator()(const CombineDesc& d) const {
    if (d.constant < 0) return {};
    return {d.srcs.at(static_cast<std::size_t>(d.constant)).elements()};
  }
  std::vector<std::int64_t> operator()(const QuantizedDenseDesc& d) const {
    const auto weights = core::checked_mul(d.inputs, weight_row(d));
    const auto scales = core::checked_mul(std::max<std::int64_t>(d.groups, 1), d.units);
    LAMELLA_ASSERT(weights && scales, "a quantized kernel of {} x {}", d.inputs, d.units);
    std::vector<std::int64_t> sizes{*weights, *scales};
    if (d.groups > 0) sizes.insert(sizes.end(), {*scales, d.inputs});
    if (d.has_input_scale) sizes.push_back(d.inputs);
    if (d.has_bias) sizes.push_back(d.units);
    return sizes;
  }
  std::vector<std::int64_t> operator()(const GatherDesc& d) const {
    const auto table = core::checked_mul(d.rows, d.width);
    LAMELLA_ASSERT(table, "a table of {} x {}", d.rows, d.width);
    return {*table};
  }
  std::vector<std::int64_t> operator()(const BucketDesc& d) const { return {d.length}; }
  std::vector<std::int64_t> operator()(const LookupDesc& d) const { return {d.length, d.length}; }
};

bool is_right(const Desc& desc, std::size_t i, DType dtype) {
  const auto* dense = std::get_if<QuantizedDenseDesc>(&desc);
  if (dense != nullptr && i == QuantizedConstants::weights) return dtype == DType::int8;
  if (dense != nullptr && dense->groups > 0 && i == QuantizedConstants::group) return dtype == DType::int32;
  if (std::holds_alternative<LookupDesc>(desc)) return dtype == DType::int64;
  return is_floating(dtype);
}

}  // namespace

Writes Constants::renewed(const std::shared_ptr<const Constants>& other) const {
  // Renewed without the lock, because creating one takes other locks, in another order than planning does.
  std::vector<const Packed*> forms;
  {
    const std::lock_guard lock(mutex_);
    for (const auto& [form, packed] : derived_) forms.push_back(&packed);
  }
  Writes writes;
  for (const Packed* packed : forms) {
    for (Write& write : packed->renew(other)) writes.push_back(std::move(write));
  }
  for (std::size_t i = 0; i < values_.size(); ++i) {
    const Tensor& to = *values_[i];
    const Tensor& from = (*other)[i];
    LAMELLA_ASSERT(to.dtype() == from.dtype() && to.bytes() == from.bytes(), "constant {} changes from {} {} to {} {}", i,
                   to_string(to.dtype()), to_string(to.shape()), to_string(from.dtype()), to_string(from.shape()));
    if (to.data() == from.data() || to.bytes() == 0) continue;
    // The elements are not const: the model that owns them created them.
    writes.push_back({{values_[i], const_cast<void*>(to.data())}, {other, from.data()}, from.bytes()});
  }
  return writes;
}

void expect_constants(const Desc& desc, const Constants& constants) {
  const std::vector<std::int64_t> sizes = std::visit(Sizes{}, desc);
  LAMELLA_ASSERT(constants.size() == sizes.size(), "operation {}: {} constants, it takes {}", desc.index(), constants.size(),
                 sizes.size());
  for (std::size_t i = 0; i < sizes.size(); ++i) {
    LAMELLA_ASSERT(constants.values()[i] != nullptr, "operation {}: constant {} is missing", desc.index(), i);
    const Tensor& value = constants[i];
    LAMELLA_ASSERT(is_right(desc, i, value.dtype()) && value.device().is_cpu(), "operation {}: constant {} is {} on {}",
                   desc.index(), i, to_string(value.dtype()), to_string(value.device()));
    LAMELLA_ASSERT(value.shape().elements() == sizes[i], "operation {}: constant {} has {} elements, it takes {}", desc.index(),
                   i, value.shape().elements(), sizes[i]);
  }
}

}  // namespace lamella::ops
