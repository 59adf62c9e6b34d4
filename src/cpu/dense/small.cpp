// SPDX-License-Identifier: Apache-2.0
#include <algorithm>

#include "cpu/activation/epilogue.hpp"
#include "cpu/dense/engines.hpp"
#include "cpu/dense/panels.hpp"
#include "cpu/dense/predicted.hpp"
#include "cpu/simd.hpp"
#include "cpu/threads.hpp"

namespace lamella::cpu {
namespace {

constexpr std::int64_t kRowBlock = 72;         ///< maximum number of rows that pass through a panel together
constexpr std::int64_t kPackedRowBlock = 144;  ///< the same where rows are packed
constexpr std::int64_t kFewRows = 128;  ///< with fewer rows, threads divide columns instead: each reads its part of the kernel

/// Roughly, on one thread.
double nanoseconds(const ops::DenseDesc& d) {
  constexpr double kMultiplyAdds = 100;  // per nanosecond
  constexpr double kKernelElements = 25;
  const auto kernel = static_cast<double>(d.inputs) * static_cast<double>(d.units);
  return std::max(static_cast<double>(d.batch) * kernel / kMultiplyAdds, kernel / kKernelElements);
}

/// Whether packing rows is worth its price: the kernel is larger than a second cache, and what is packed is used often.
bool packs_rows(const ops::DenseDesc& d) {
  constexpr std::int64_t kLargeKernel = 1 << 18;
  return strip_stride(d.inputs) != 0 && d.dtype == DType::float32 && d.batch > 2 * kTileRows && d.units >= 512 &&
         d.inputs * d.units >= kLargeKernel;
}

struct Small {
  ops::DenseDesc desc;
  std::shared_ptr<const float> panels;
  std::shared_ptr<const float> bias;  ///< in panels: initial values of the sums
  PanelFn product;
  std::int64_t strip;  ///< PanelArgs::strip of the panels
  Epilogue epilogue;
  bool fused;
  std::shared_ptr<const float> added;  ///< unfused: the bias, or null
  bool packing = packs_rows(desc);

  /// Rows [begin, end) and panels [first, last), float in and out. `packed`: kPackedRowBlock * kPackedInputs floats, or null.
  void block(float* dst, const float* src, std::int64_t rows, std::int64_t first, std::int64_t last, float* packed) const {
    const std::int64_t slice = packed == nullptr ? desc.inputs : kPackedInputs;
    std::int64_t k = 0;
    do {
      const std::int64_t inputs = std::min(slice, desc.inputs - k);
      if (packed != nullptr) pack_rows(packed, src + k, desc.inputs, rows, inputs);
      for (std::int64_t p = first; p < last; ++p) {
        const float* const panel = panels.get() + p * kPanel * desc.inputs + k * kStrip;
        product({dst + p * kPanel, desc.units, packed == nullptr ? src : packed, desc.inputs, panel, bias.get() + p * kPanel,
                 rows, inputs, std::min(kPanel, desc.units - p * kPanel), strip, k > 0, packed != nullptr});
      }
      k += inputs;
    } while (k < desc.inputs);
    if (fused && desc.activation.kind != ActivationKind::Linear) pass(epilogue, dst, nullptr, rows, first, last);
  }

  /// dst = f(dst + add), in some panels of some rows.
  void pass(const Epilogue& f, float* dst, const float* add, std::int64_t rows, std::int64_t first, std::int64_t last) const {
    const std::int64_t from = first * kPanel;
    const std::int64_t n = std::min(last * kPanel, desc.units) - from;
    if (n == desc.units && add == nullptr) {
      f(dst, dst, nullptr, rows * n);
    } else {
      const float* const begin = add == nullptr ? nullptr : add + from;
      for (std::int64_t r = 0; r < rows; ++r) f(dst + r * desc.units + from, dst + r * desc.units + from, begin, n);
    }
  }

  /// All rows of [begin, end) and some panels, by the part `part` of a team.
  template <typename T>
  void run(const ops::Args& args, std::int64_t begin, std::int64_t end, std::int64_t first, std::int64_t last,
           std::int64_t part = 0) const {
    const T* src = static_cast<const T*>(args.srcs[0]);
    T* dst = static_cast<T*>(args.dst);
    const std::int64_t most = packing ? kPackedRowBlock : kRowBlock;
    const std::int64_t blocks = (end - begin + most - 1) / most;
    for (std::int64_t i = 0; i < blocks; ++i) {
      const std::int64_t b = begin + (end - begin) * i / blocks;
      const std::int64_t rows = begin + (end - begin) * (i + 1) / blocks - b;
      if constexpr (std::is_same_v<T, float>) {
        float* const packed = packing ? static_cast<float*>(args.workspace) + part * kPackedRowBlock * kPackedInputs : nullptr;
        block(dst + b * desc.units, src + b * desc.inputs, rows, first, last, packed);
      } else {
        float* wide_src = static_cast<float*>(args.workspace) + b * (desc.inputs + desc.units);
        float* wide_dst = wide_src + rows * desc.inputs;
        widen(wide_src, src + b * desc.inputs, dtype_v<T>, rows * desc.inputs);
        block(wide_dst, wide_src, rows, first, last, nullptr);
        narrow(dst + b * desc.units, wide_dst, dtype_v<T>, rows * desc.units);
      }
    }
    if constexpr (std::is_same_v<T, float>) {
      if (fused) return;
      float* const rows = dst + begin * desc.units;
      if (added) pass(Epilogue(ActivationSpec{}), rows, added.get(), end - begin, first, last);
      if (desc.activation.kind != ActivationKind::Linear) pass(epilogue, rows, nullptr, end - begin, first, last);
    }
  }
};

template <typename T>
PlanPtr plan_as(Small small, const ops::PlanContext& context) {
  const ops::DenseDesc& d = small.desc;
  const std::int64_t panels = (d.units + kPanel - 1) / kPanel;
  const Team team = worth(context.threads, nanoseconds(d));
  constexpr bool kWide = !std::is_same_v<T, float>;
  std::size_t workspace = 0;
  if (kWide) workspace = static_cast<std::size_t>(d.batch * (d.inputs + d.units)) * sizeof(float);
  if (small.packing) workspace = static_cast<std::size_t>(team.threads * kPackedRowBlock * kPackedInputs) * sizeof(float);
  if (team.threads == 1 || (kWide && d.batch < team.threads)) {
    return make_plan([small, panels](const ops::Args& args) { small.run<T>(args, 0, small.desc.batch, 0, panels); }, workspace);
  }
  if (!kWide && d.batch < kFewRows) {
    return make_plan(
        [small, panels, team](const ops::Args& args) {
          parallel(panels, team, [&](std::int64_t first, std::int64_t last) {
            small.run<T>(args, 0, small.desc.batch, first, last, first / part_of(panels, team));
          });
        },
        workspace);
  }
  return make_plan(
      [small, panels, team](const ops::Args& args) {
        parallel(small.desc.batch, team, [&](std::int64_t begin, std::int64_t end) {
          small.run<T>(args, begin, end, 0, panels, begin / part_of(small.desc.batch, team));
        });
      },
      workspace);
}

std::string refuses_panels(const ops::DenseDesc& d) { return d.dtype == DType::float64 ? "it computes in float32" : ""; }

class SmallEngine final : public DenseEngine {
 public:
  [[nodiscard]] std::string_view name() const noexcept override { return "small"; }
  [[nodiscard]] std::string refuses(const ops::DenseDesc& d, const ops::PlanContext&) const override {
    std::string why = refused_by_all(d, {Fusion::epilogue}, "has an epilogue of its own");
    return why.empty() ? refuses_panels(d) : why;
  }
  [[nodiscard]] std::string fuses(const ops::DenseDesc& d) const override { return ops::bias_and_activation(d); }
  [[nodiscard]] std::optional<double> predicted_us(const ops::DenseDesc& d, const ops::PlanContext& context) const override {
    return d.dtype == DType::float64 ? std::nullopt : std::optional(predicted_panels_us(d, context.threads));
  }
  [[nodiscard]] PlanPtr plan(const ops::DenseDesc& d, ConstantsPtr constants, const ops::PlanContext& context) const override {
    const Small small{d,
                      packed_panels(constants, d.dtype, d.inputs, d.units),
                      packed_bias(constants, d.has_bias, d.dtype, d.units),
                      panel_function(),
                      strip_stride(d.inputs),
                      Epilogue(d.activation),
                      true,
                      nullptr};
    PlanPtr result;
    visit_floating(d.dtype, [&](auto t) {
      if constexpr (!std::is_same_v<decltype(t), double>) result = plan_as<decltype(t)>(small, context);
    });
    return result;
  }
};

/// The same product in three passes: the baseline of the bench.
class SmallUnfused final : public DenseEngine {
 public:
  [[nodiscard]] std::string_view name() const noexcept override { return "small_unfused"; }
  [[nodiscard]] std::string refuses(const ops::DenseDesc& d, const ops::PlanContext&) const override {
    if (std::string why = refused_by_all(d, {Fusion::none}, "makes three passes"); !why.empty()) return why;
    return d.dtype == DType::float32 ? refuses_panels(d) : "it takes float32";
  }
  [[nodiscard]] std::optional<double> predicted_us(const ops::DenseDesc& d, const ops::PlanContext& context) const override {
    if (d.dtype != DType::float32 || d.fusion != Fusion::none) return std::nullopt;  // else it is the last
    return predicted_panels_us(d, context.threads) + predicted_passes_us(d, context.threads);
  }
  [[nodiscard]] PlanPtr plan(const ops::DenseDesc& d, ConstantsPtr constants, const ops::PlanContext& context) const override {
    Small small{d,
                packed_panels(constants, d.dtype, d.inputs, d.units),
                packed_bias(constants, false, d.dtype, d.units),
                panel_function(),
                strip_stride(d.inputs),
                Epilogue(d.activation),
                false,
                nullptr};
    if (d.has_bias) small.added = constant_as<float>(constants, 1, d.dtype);
    return plan_as<float>(small, context);
  }
};

}  // namespace

const DenseEngine& small_engine() {
  static const SmallEngine engine;
  return engine;
}
const DenseEngine& small_unfused_engine() {
  static const SmallUnfused engine;
  return engine;
}

}  // namespace lamella::cpu
