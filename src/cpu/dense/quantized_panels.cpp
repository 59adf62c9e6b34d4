// SPDX-License-Identifier: Apache-2.0
#include <algorithm>

#include "core/backend.hpp"
#include "core/quantize.hpp"
#include "cpu/dense/quantized.hpp"

namespace lamella::cpu {
namespace {

template <typename T>
std::shared_ptr<T> zeroed(std::int64_t n) {
  const auto memory = core::allocate_host(static_cast<std::size_t>(n) * sizeof(T));
  auto* const data = static_cast<T*>(memory.get());
  std::fill_n(data, n, T{});
  return {memory, data};
}

/// The integer at (input, unit) of the constant.
int weight_at(const std::uint8_t* weights, const ops::QuantizedDenseDesc& d, std::int64_t input, std::int64_t unit) {
  const std::uint8_t* const row = weights + input * weight_row(d);
  if (d.format == ops::WeightFormat::int8) return static_cast<std::int8_t>(row[unit]);
  return unit % 2 == 0 ? core::low_nibble(row[unit / 2]) : core::high_nibble(row[unit / 2]);
}

struct PackedIntegers {
  std::shared_ptr<std::uint8_t> weights;
  std::shared_ptr<std::int32_t> start;
};

std::shared_ptr<PackedIntegers> pack_integers(const ops::Constants& constants, const ops::QuantizedDenseDesc& d,
                                              const QuantizedPanels& layout, int group, int offset) {
  const auto* const from = static_cast<const std::uint8_t*>(constants[ops::QuantizedConstants::weights].data());
  const std::int64_t panels = (d.units + kPanel - 1) / kPanel;
  const std::int64_t half = kPanel * group / 2;
  const std::int64_t bytes = panels * layout.steps * layout.step_bytes;
  auto packed =
      std::make_shared<PackedIntegers>(PackedIntegers{zeroed<std::uint8_t>(bytes), zeroed<std::int32_t>(panels * kPanel)});
  constants.note_packed(static_cast<std::size_t>(bytes + panels * kPanel * 4));
  for (std::int64_t i = 0; i < d.inputs; ++i) {
    for (std::int64_t u = 0; u < d.units; ++u) {
      const int q = weight_at(from, d, i, u);
      std::uint8_t* const to = packed->weights.get() + (u / kPanel * layout.steps + i / group) * layout.step_bytes;
      const std::int64_t element = u % kPanel * group + i % group;
      auto& start = packed->start.get()[u];
      start = static_cast<std::int32_t>(static_cast<std::uint32_t>(start) - static_cast<std::uint32_t>(offset * q));
      if (d.format == ops::WeightFormat::int8) {
        to[element] = static_cast<std::uint8_t>(q);
      } else {
        const auto nibble = static_cast<unsigned>(q) & 15U;
        to[element % half] = static_cast<std::uint8_t>(to[element % half] | (element < half ? nibble : nibble << 4U));
      }
    }
  }
  return packed;
}

}  // namespace

QuantizedPanels quantized_panels(const ConstantsPtr& constants, const ops::QuantizedDenseDesc& d, int group, int offset) {
  QuantizedPanels result;
  result.steps = (d.inputs + group - 1) / group;
  result.step_bytes = kPanel * group / (d.format == ops::WeightFormat::int8 ? 1 : 2);
  const auto make = [&]() -> std::shared_ptr<const void> { return pack_integers(*constants, d, result, group, offset); };
  const auto packed = std::static_pointer_cast<const PackedIntegers>(
      constants->derived({.layout = ops::Form::Layout::quantized_panels, .group = group}, make));
  result.weights = {packed, packed->weights.get()};
  result.start = {packed, packed->start.get()};
  return result;
}

std::shared_ptr<const float> numbers_in_panels(const ConstantsPtr& constants, std::size_t i, const ops::QuantizedDenseDesc& d,
                                               std::int64_t rows, float fill) {
  const auto from = constant_as<float>(constants, i, d.dtype);  // not inside of make, which is called under a lock
  const auto make = [&]() -> std::shared_ptr<const void> {
    const std::int64_t panels = (d.units + kPanel - 1) / kPanel;
    const auto memory = packed_memory(*constants, static_cast<std::size_t>(panels * rows * kPanel) * sizeof(float));
    auto* to = static_cast<float*>(memory.get());
    for (std::int64_t p = 0; p < panels; ++p) {
      for (std::int64_t r = 0; r < rows; ++r) {
        for (std::int64_t u = p * kPanel; u < (p + 1) * kPanel; ++u) *to++ = u < d.units ? from.get()[r * d.units + u] : fill;
      }
    }
    return memory;
  };
  const ops::Form form{.layout = ops::Form::Layout::number_panels, .constant = i, .rounded_to = d.dtype};
  return std::static_pointer_cast<const float>(constants->derived(form, make));
}

}  // namespace lamella::cpu
