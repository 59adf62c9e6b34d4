// SPDX-License-Identifier: Apache-2.0
#include <algorithm>
#include <vector>

#include "core/quantize.hpp"
#include "cpu/activation/epilogue.hpp"
#include "cpu/dense/quantized.hpp"
#include "cpu/rounding.hpp"
#include "cpu/threads.hpp"

namespace lamella::cpu {
namespace {

/// The constants of a layer as elements of type C, rounded to T.
template <typename T, typename C>
struct ReferenceConstants {
  ops::QuantizedDenseDesc desc;
  std::shared_ptr<const std::uint8_t> weights;
  std::shared_ptr<const std::int32_t> group;
  std::shared_ptr<const C> scale, zero, input_scale, bias;

  ReferenceConstants(const ops::QuantizedDenseDesc& d, const ConstantsPtr& constants) : desc(d) {
    const ops::QuantizedConstants at(d);
    weights = {constants, static_cast<const std::uint8_t*>((*constants)[at.weights].data())};
    scale = constant_as<C>(constants, at.scale, d.dtype);
    if (d.groups > 0) {
      zero = constant_as<C>(constants, at.zero, d.dtype);
      group = {constants, static_cast<const std::int32_t*>((*constants)[at.group].data())};
    }
    if (d.has_input_scale) input_scale = constant_as<C>(constants, at.input_scale, d.dtype);
    if (d.has_bias) bias = constant_as<C>(constants, at.bias, d.dtype);
  }
  [[nodiscard]] int integer(std::int64_t i, std::int64_t u) const {
    const std::uint8_t* const row = weights.get() + i * weight_row(desc);
    if (desc.format == ops::WeightFormat::int8) return static_cast<std::int8_t>(row[u]);
    return u % 2 == 0 ? core::low_nibble(row[u / 2]) : core::high_nibble(row[u / 2]);
  }
  [[nodiscard]] C weight(std::int64_t i, std::int64_t u) const {
    if (desc.groups == 0) return static_cast<C>(integer(i, u));
    const std::int64_t at = group.get()[i] * desc.units + u;
    const C w = core::dequantized(integer(i, u), zero.get()[at], scale.get()[at], RoundTo<T>());
    return desc.has_input_scale ? RoundTo<T>()(w / input_scale.get()[i]) : w;
  }
};

/// Products of integers are exact; others are summed in float64 and rounded once, before the activation.
template <typename T, typename C>
void quantized_row(const ReferenceConstants<T, C>& c, const T* src, double* sums) {
  const ops::QuantizedDenseDesc& d = c.desc;
  const RoundTo<T> round;
  C factor = 1;
  if (d.quantizes) {
    C largest = 0;
    for (std::int64_t i = 0; i < d.inputs; ++i) {
      const C x = core::math::abs(convert<C>(src[i]));
      if (!(x <= largest)) largest = x;
      if (x != x) break;
    }
    factor = core::row_factor(largest, d.high, static_cast<C>(d.epsilon), round);
  }
  std::fill_n(sums, d.units, 0.0);
  for (std::int64_t i = 0; i < d.inputs; ++i) {
    C x = convert<C>(src[i]);
    if (d.quantizes) x = static_cast<C>(core::to_integer(x, factor, d.low, d.high, round));
    for (std::int64_t u = 0; u < d.units; ++u) sums[u] += static_cast<double>(x) * static_cast<double>(c.weight(i, u));
  }
  for (std::int64_t u = 0; u < d.units; ++u) {
    double& z = sums[u];
    if (d.quantizes) {
      const auto sum = static_cast<std::int32_t>(static_cast<std::uint32_t>(static_cast<std::int64_t>(z)));
      const C scaled = core::from_integer(sum, c.scale.get()[u], factor, round);
      z = static_cast<double>(c.bias ? round(scaled + c.bias.get()[u]) : scaled);
    } else {
      if (d.groups == 0) z /= static_cast<double>(c.scale.get()[u]);
      if (c.bias) z += static_cast<double>(c.bias.get()[u]);
    }
  }
}

class QuantizedReference final : public QuantizedDenseEngine {
 public:
  [[nodiscard]] std::string_view name() const noexcept override { return "quantized_reference"; }
  [[nodiscard]] std::string refuses(const ops::QuantizedDenseDesc& d, const ops::PlanContext&) const override {
    return is_floating(d.dtype) ? std::string() : core::format("dtype {} is not a floating type", to_string(d.dtype));
  }
  [[nodiscard]] std::string fuses(const ops::QuantizedDenseDesc& d) const override { return ops::bias_and_activation(d); }
  [[nodiscard]] PlanPtr plan(const ops::QuantizedDenseDesc& d, ConstantsPtr constants,
                             const ops::PlanContext& context) const override {
    PlanPtr result;
    visit_floating(d.dtype, [&](auto t) {
      using T = decltype(t);
      const ReferenceConstants<T, ComputeOf<T>> all(d, constants);
      const Team team = worth(context.threads, 3.0 * static_cast<double>(d.batch) * static_cast<double>(d.inputs * d.units));
      const std::int64_t part = std::max<std::int64_t>(1, (d.batch + team.threads - 1) / team.threads);
      const auto run = [all, d, team, part, activated = ActivatedSums(d.activation, d.dtype)](const ops::Args& args) {
        parallel(d.batch, team, [&](std::int64_t begin, std::int64_t end) {
          double* const sums = static_cast<double*>(args.workspace) + begin / part * d.units;
          for (std::int64_t b = begin; b < end; ++b) {
            quantized_row(all, static_cast<const T*>(args.srcs[0]) + b * d.inputs, sums);
            activated(static_cast<T*>(args.dst) + b * d.units, sums, d.units);
          }
        });
      };
      result = make_plan(run, static_cast<std::size_t>(team.threads) * static_cast<std::size_t>(d.units) * sizeof(double));
    });
    return result;
  }
};

}  // namespace

const QuantizedDenseEngine& quantized_reference_engine() {
  static const QuantizedReference engine;
  return engine;
}

}  // namespace lamella::cpu
