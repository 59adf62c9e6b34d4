// SPDX-License-Identifier: Apache-2.0
#include <algorithm>

#include "cpu/activation/epilogue.hpp"
#include "cpu/dense/quantized.hpp"
#include "cpu/threads.hpp"

namespace lamella::cpu {
namespace {

constexpr std::int64_t kPanelsLine = 64;
constexpr std::int64_t kSlice = 128;      ///< inputs whose weights are dequantized at a time, so that they stay in the L1 cache
constexpr std::int64_t kRowsForAll = 32;  ///< a thread with at least this many rows unpacks all weights for them

constexpr std::int64_t whole_lines(std::int64_t bytes) { return (bytes + kPanelsLine - 1) / kPanelsLine * kPanelsLine; }

/// Shared by both kinds of product: the loop over rows and panels, and the epilogue of a finished row of a panel.
class Panels : public ops::Plan {
 public:
  Panels(const ops::QuantizedDenseDesc& d, const ConstantsPtr& constants, const ops::PlanContext& context)
      : desc_(d), loops_(quantized_loops(d.dtype)), epilogue_(d.activation), panels_((d.units + kPanel - 1) / kPanel) {
    const ops::QuantizedConstants at(d);
    scale_ = numbers_in_panels(constants, at.scale, d, std::max<std::int64_t>(d.groups, 1), 1.0F);
    if (d.has_bias) bias_ = numbers_in_panels(constants, at.bias, d, 1, 0.0F);
    const double work = static_cast<double>(d.inputs) * static_cast<double>(d.units);
    team_ = worth(context.threads, std::max(static_cast<double>(d.batch) / 100, 0.1) * work);
    by_rows_ = d.batch >= kRowsForAll * team_.threads;
    const std::int64_t parts = by_rows_ ? d.batch : panels_;
    part_ = std::max<std::int64_t>(1, (parts + team_.threads - 1) / team_.threads);
  }
  [[nodiscard]] std::size_t workspace_bytes() const noexcept override { return static_cast<std::size_t>(bytes_); }

 protected:
  struct Range {
    std::int64_t first_row, last_row, first_panel, last_panel;
    std::byte* scratch;
  };
  /// Reserves `bytes` of workspace and returns their offset.
  std::int64_t reserve(std::int64_t bytes) {
    const std::int64_t at = bytes_;
    bytes_ += whole_lines(bytes);
    return at;
  }
  /// Calls f(Range) in several threads, each with `scratch_bytes` at `scratch_at` in the workspace.
  template <typename F>
  void each_range(std::byte* workspace, const F& f) const {
    parallel(by_rows_ ? desc_.batch : panels_, team_, [&](std::int64_t begin, std::int64_t end) {
      std::byte* const scratch = workspace + scratch_at_ + begin / part_ * scratch_bytes_;
      f(by_rows_ ? Range{begin, end, 0, panels_, scratch} : Range{0, desc_.batch, begin, end, scratch});
    });
  }
  void reserve_scratch(std::int64_t bytes) {
    scratch_bytes_ = whole_lines(bytes);
    scratch_at_ = reserve(scratch_bytes_ * team_.threads);
  }
  [[nodiscard]] std::int64_t width(std::int64_t panel) const { return std::min(kPanel, desc_.units - panel * kPanel); }
  /// Stores the first `width(panel)` of z[kPanel] in row `row`.
  void store(void* dst, std::int64_t row, std::int64_t panel, const float* z) const {
    const std::int64_t at = row * desc_.units + panel * kPanel;
    if (desc_.dtype == DType::float32) {
      std::copy_n(z, width(panel), static_cast<float*>(dst) + at);
    } else {
      narrow(static_cast<std::byte*>(dst) + static_cast<std::size_t>(at) * size_of(desc_.dtype), z, desc_.dtype, width(panel));
    }
  }

  ops::QuantizedDenseDesc desc_;
  QuantizedLoops loops_;
  Epilogue epilogue_;
  std::int64_t panels_;
  std::shared_ptr<const float> scale_;
  std::shared_ptr<const float> bias_;
  Team team_;

 private:
  bool by_rows_ = false;
  std::int64_t part_ = 1;
  std::int64_t bytes_ = 0;
  std::int64_t scratch_bytes_ = 0;
  std::int64_t scratch_at_ = 0;
};

/// Quantizes rows to integers, whose sums are exact.
class IntegerPlan final : public Panels {
 public:
  IntegerPlan(const ops::QuantizedDenseDesc& d, const ConstantsPtr& constants, const ops::PlanContext& context)
      : Panels(d, constants, context),
        weights_(quantized_panels(constants, d, kernel_.group, kernel_.code_offset)),
        codes_stride_(whole_lines(weights_.steps * kernel_.group * kernel_.code_bytes)) {
    codes_at_ = reserve(d.batch * codes_stride_);
    factors_at_ = reserve(d.batch * 4);
    rows_team_ = worth(context.threads, static_cast<double>(d.batch * d.inputs) * 0.2);
    wide_bytes_ = d.dtype == DType::float32 ? 0 : whole_lines(d.inputs * 4);
    wide_at_ = reserve(wide_bytes_ * rows_team_.threads);
    reserve_scratch(d.format == ops::WeightFormat::int4 ? weights_.steps * kPanel * kernel_.group : 0);
  }

  void execute(const ops::Args& args) const override {
    auto* const workspace = static_cast<std::byte*>(args.workspace);
    quantize(args.srcs[0], workspace);
    each_range(workspace, [&](const Range& range) {
      for (std::int64_t p = range.first_panel; p < range.last_panel; ++p) panel(args.dst, workspace, range, p);
    });
  }

 private:
  void quantize(const void* src, std::byte* workspace) const {
    auto* const factors = reinterpret_cast<float*>(workspace + factors_at_);
    const std::int64_t part = std::max<std::int64_t>(1, (desc_.batch + rows_team_.threads - 1) / rows_team_.threads);
    parallel(desc_.batch, rows_team_, [&](std::int64_t begin, std::int64_t end) {
      auto* const wide = reinterpret_cast<float*>(workspace + wide_at_ + begin / part * wide_bytes_);
      for (std::int64_t b = begin; b < end; ++b) {
        const float* x = static_cast<const float*>(src) + b * desc_.inputs;
        if (wide_bytes_ != 0) {
          widen(wide, static_cast<const std::byte*>(src) + static_cast<std::size_t>(b * desc_.inputs) * size_of(desc_.dtype),
                desc_.dtype, desc_.inputs);
          x = wide;
        }
        factors[b] = loops_.quantize(workspace + codes_at_ + b * codes_stride_, x, desc_.inputs, weights_.steps * kernel_.group,
                                     desc_, kernel_);
      }
    });
  }

  void panel(void* dst, const std::byte* workspace, const Range& range, std::int64_t p) const {
    const std::uint8_t* packed = weights_.weights.get() + p * weights_.steps * weights_.step_bytes;
    if (desc_.format == ops::WeightFormat::int4) {
      auto* const unpacked = reinterpret_cast<std::int8_t*>(range.scratch);
      for (std::int64_t s = 0; s < weights_.steps; ++s)
        loops_.unpack(unpacked + 2 * s * weights_.step_bytes, packed + s * weights_.step_bytes, weights_.step_bytes);
      packed = reinterpret_cast<const std::uint8_t*>(unpacked);
    }
    const auto* const factors = reinterpret_cast<const float*>(workspace + factors_at_);
    const float* const bias = bias_ ? bias_.get() + p * kPanel : nullptr;
    for (std::int64_t b = range.first_row; b < range.last_row; b += kIntegerRows) {
      const auto rows = static_cast<int>(std::min<std::int64_t>(kIntegerRows, range.last_row - b));
      std::int32_t sums[kIntegerRows * kPanel];
      kernel_.multiply({sums, workspace + codes_at_ + b * codes_stride_, codes_stride_,
                        reinterpret_cast<const std::int8_t*>(packed), weights_.start.get() + p * kPanel, weights_.steps, rows});
      for (int r = 0; r < rows; ++r) {
        float z[kPanel];
        loops_.from_integers(z, sums + r * kPanel, scale_.get() + p * kPanel, factors[b + r], bias);
        if (desc_.activation.kind != ActivationKind::Linear) epilogue_(z, z, nullptr, kPanel);
        store(dst, b + r, p, z);
      }
    }
  }

  const IntegerKernel& kernel_ = integer_kernel();
  QuantizedPanels weights_;
  std::int64_t codes_stride_;
  std::int64_t codes_at_ = 0;
  std::int64_t factors_at_ = 0;
  Team rows_team_;
  std::int64_t wide_bytes_ = 0;
  std::int64_t wide_at_ = 0;
};

/// Dequantizes slices of the weights, for all rows at once.
class NumberPlan final : public Panels {
 public:
  NumberPlan(const ops::QuantizedDenseDesc& d, const ConstantsPtr& constants, const ops::PlanContext& context)
      : Panels(d, constants, context), weights_(quantized_panels(constants, d, 1, 0)) {
    const ops::QuantizedConstants at(d);
    if (d.groups > 0) {
      zero_ = numbers_in_panels(constants, at.zero, d, d.groups, 0.0F);
      group_ = {constants, static_cast<const std::int32_t*>((*constants)[at.group].data())};
    }
    if (d.has_input_scale) input_scale_ = constant_as<float>(constants, at.input_scale, d.dtype);
    wide_ = d.dtype != DType::float32;
    src_at_ = reserve(wide_ ? d.batch * d.inputs * 4 : 0);
    sums_at_ = reserve(wide_ ? d.batch * d.units * 4 : 0);
    reserve_scratch(kSlice * kPanel * 4);
  }

  void execute(const ops::Args& args) const override {
    auto* const workspace = static_cast<std::byte*>(args.workspace);
    const auto* src = static_cast<const float*>(args.srcs[0]);
    auto* sums = static_cast<float*>(args.dst);
    if (wide_) {
      auto* const wide = reinterpret_cast<float*>(workspace + src_at_);
      widen(wide, args.srcs[0], desc_.dtype, desc_.batch * desc_.inputs);
      src = wide;
      sums = reinterpret_cast<float*>(workspace + sums_at_);
    }
    each_range(workspace, [&](const Range& range) {
      if (range.first_row == range.last_row) return;
      for (std::int64_t p = range.first_panel; p < range.last_panel; ++p) {
        product(sums, src, range, p);
        for (std::int64_t b = range.first_row; b < range.last_row; ++b) finish(args.dst, sums, b, p);
      }
    });
  }

 private:
  void product(float* sums, const float* src, const Range& range, std::int64_t p) const {
    static constexpr float kNothing[kPanel] = {};
    auto* const numbers = reinterpret_cast<float*>(range.scratch);
    std::int64_t done = 0;
    do {
      const std::int64_t inputs = std::min(kSlice, desc_.inputs - done);
      for (std::int64_t i = 0; i < inputs; ++i) dequantize(numbers + i * kPanel, done + i, p);
      multiply_({sums + range.first_row * desc_.units + p * kPanel, desc_.units, src + range.first_row * desc_.inputs + done,
                 desc_.inputs, numbers, kNothing, range.last_row - range.first_row, inputs, width(p), 0, done > 0});
      done += inputs;
    } while (done < desc_.inputs);
  }
  void dequantize(float* to, std::int64_t input, std::int64_t p) const {
    const std::uint8_t* const from = weights_.weights.get() + (p * weights_.steps + input) * weights_.step_bytes;
    if (desc_.groups == 0) return loops_.dequantize(to, from, desc_.format, nullptr, nullptr, nullptr);
    const std::int64_t at = (p * desc_.groups + group_.get()[input]) * kPanel;
    loops_.dequantize(to, from, desc_.format, zero_.get() + at, scale_.get() + at,
                      input_scale_ ? input_scale_.get() + input : nullptr);
  }
  void finish(void* dst, const float* sums, std::int64_t row, std::int64_t p) const {
    float z[kPanel] = {};
    std::copy_n(sums + row * desc_.units + p * kPanel, width(p), z);
    if (desc_.groups == 0) loops_.divide(z, scale_.get() + p * kPanel);
    epilogue_(z, z, bias_ ? bias_.get() + p * kPanel : nullptr, kPanel);
    store(dst, row, p, z);
  }

  QuantizedPanels weights_;
  PanelFn multiply_ = panel_function();
  std::shared_ptr<const float> zero_;
  std::shared_ptr<const std::int32_t> group_;
  std::shared_ptr<const float> input_scale_;
  bool wide_ = false;
  std::int64_t src_at_ = 0;
  std::int64_t sums_at_ = 0;
};

class QuantizedPanelsEngine final : public QuantizedDenseEngine {
 public:
  [[nodiscard]] std::string_view name() const noexcept override { return "quantized_panels"; }
  [[nodiscard]] std::string refuses(const ops::QuantizedDenseDesc& d, const ops::PlanContext&) const override {
    if (!is_floating(d.dtype)) return core::format("dtype {} is not a floating type", to_string(d.dtype));
    return d.dtype == DType::float64 ? "it computes in float32" : "";
  }
  [[nodiscard]] std::string fuses(const ops::QuantizedDenseDesc& d) const override { return ops::bias_and_activation(d); }
  [[nodiscard]] PlanPtr plan(const ops::QuantizedDenseDesc& d, ConstantsPtr constants,
                             const ops::PlanContext& context) const override {
    if (d.quantizes) return std::make_unique<IntegerPlan>(d, constants, context);
    return std::make_unique<NumberPlan>(d, constants, context);
  }
};

}  // namespace

const QuantizedDenseEngine& quantized_panels_engine() {
  static const QuantizedPanelsEngine engine;
  return engine;
}

}  // namespace lamella::cpu
