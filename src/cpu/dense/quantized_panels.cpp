// SPDX-License-Identifier: Apache-2.0
#include <algorithm>

#include "core/backend.hpp"
#include "cpu/dense/quantized.hpp"
#include "ops/quantized_weights.hpp"

namespace lamella::cpu {
namespace {

std::int64_t panels_of(const ops::QuantizedDenseDesc& d) { return (d.units + kPanel - 1) / kPanel; }

/// Bytes of QuantizedPanels::start, which precedes the weights.
std::size_t start_bytes(const ops::QuantizedDenseDesc& d) {
  return static_cast<std::size_t>(panels_of(d) * kPanel) * sizeof(std::int32_t);
}

void pack_integers(const ops::Constants& constants, void* memory, std::size_t bytes, const ops::QuantizedDenseDesc& d,
                   const QuantizedPanels& layout, int group, int offset) {
  const auto* const from = static_cast<const std::uint8_t*>(constants[ops::QuantizedConstants::weights].data());
  const std::int64_t half = kPanel * group / 2;
  std::fill_n(static_cast<std::uint8_t*>(memory), bytes, std::uint8_t{0});
  auto* const starts = static_cast<std::int32_t*>(memory);
  auto* const weights = static_cast<std::uint8_t*>(memory) + start_bytes(d);
  for (std::int64_t i = 0; i < d.inputs; ++i) {
    for (std::int64_t u = 0; u < d.units; ++u) {
      const int q = ops::weight_at(from, d, i, u);
      std::uint8_t* const to = weights + (u / kPanel * layout.steps + i / group) * layout.step_bytes;
      const std::int64_t element = u % kPanel * group + i % group;
      auto& start = starts[u];
      start = static_cast<std::int32_t>(static_cast<std::uint32_t>(start) - static_cast<std::uint32_t>(offset * q));
      if (d.format == ops::WeightFormat::int8) {
        to[element] = static_cast<std::uint8_t>(q);
      } else {
        const auto nibble = static_cast<unsigned>(q) & 15U;
        to[element % half] = static_cast<std::uint8_t>(to[element % half] | (element < half ? nibble : nibble << 4U));
      }
    }
  }
}

}  // namespace

QuantizedPanels quantized_panels(const ConstantsPtr& constants, const ops::QuantizedDenseDesc& d, int group, int offset) {
  QuantizedPanels result;
  result.steps = (d.inputs + group - 1) / group;
  result.step_bytes = kPanel * group / (d.format == ops::WeightFormat::int8 ? 1 : 2);
  const std::size_t bytes = start_bytes(d) + static_cast<std::size_t>(panels_of(d) * result.steps * result.step_bytes);
  const auto fill = [bytes, d, layout = result, group, offset](const ops::Constants& of, void* memory) {
    pack_integers(of, memory, bytes, d, layout, group, offset);
  };
  const auto make = [&] { return packed_on_host(*constants, bytes, fill); };
  const auto packed = std::static_pointer_cast<const std::uint8_t>(
      constants->derived({.layout = ops::Form::Layout::quantized_panels, .group = group}, make));
  result.start = std::static_pointer_cast<const std::int32_t>(std::shared_ptr<const void>(packed));
  result.weights = {packed, packed.get() + start_bytes(d)};
  return result;
}

std::shared_ptr<const float> numbers_in_panels(const ConstantsPtr& constants, std::size_t i, const ops::QuantizedDenseDesc& d,
                                               std::int64_t rows, float fill) {
  const std::int64_t panels = panels_of(d);
  const auto write = [i, panels, rows, units = d.units, dtype = d.dtype, fill](const ops::Constants& of, void* memory) {
    auto* to = static_cast<float*>(memory);
    visit_floating(dtype, [&](auto rounded) {
      visit_floating(of[i].dtype(), [&](auto stored) {
        const auto* const from = static_cast<const decltype(stored)*>(of[i].data());
        for (std::int64_t p = 0; p < panels; ++p) {
          for (std::int64_t r = 0; r < rows; ++r) {
            for (std::int64_t u = p * kPanel; u < (p + 1) * kPanel; ++u)
              *to++ = u < units ? convert<float>(convert<decltype(rounded)>(from[r * units + u])) : fill;
          }
        }
      });
    });
  };
  const auto make = [&] {
    return packed_on_host(*constants, static_cast<std::size_t>(panels * rows * kPanel) * sizeof(float), write);
  };
  const ops::Form form{.layout = ops::Form::Layout::number_panels, .constant = i, .rounded_to = d.dtype};
  return std::static_pointer_cast<const float>(constants->derived(form, make));
}

}  // namespace lamella::cpu
