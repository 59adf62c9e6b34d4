// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>

#include <lamella/activation.hpp>
#include <lamella/dtype.hpp>

namespace lamella::cpu {

/// dst[i] = f(src[i] + bias[i]), or f(src[i]) if bias is null, for i in [0, n). dst may be src. Element i of the result depends
/// on element i alone, not on n or the start of the range.
using EpilogueFn = void (*)(float* dst, const float* src, const float* bias, std::int64_t n, const float* parameters);

/// The function for an element-wise activation on this machine.
[[nodiscard]] EpilogueFn epilogue_of(ActivationKind kind);

/// An activation ready to run: the function and its parameters.
struct Epilogue {
  EpilogueFn function;
  float parameters[3];

  explicit Epilogue(const ActivationSpec& spec)
      : function(epilogue_of(spec.kind)),
        parameters{static_cast<float>(spec.parameters[0]), static_cast<float>(spec.parameters[1]),
                   static_cast<float>(spec.parameters[2])} {}
  void operator()(float* dst, const float* src, const float* bias, std::int64_t n) const {
    function(dst, src, bias, n, parameters);
  }
};

/// The same in float64: dst[i] = f(src[i]); dst may be src.
struct Float64Activation {
  void (*function)(double* dst, const double* src, std::int64_t n, const double* parameters);
  double parameters[3];

  explicit Float64Activation(const ActivationSpec& spec);
  void operator()(double* dst, const double* src, std::int64_t n) const { function(dst, src, n, parameters); }
};

/// The end of a product that was summed in float64: the sums are rounded once to what elements of the dtype are computed in
/// (float64, or else float32), the activation is applied, and the results are rounded to the dtype.
class ActivatedSums {
 public:
  ActivatedSums(const ActivationSpec& spec, DType dtype);
  void operator()(void* dst, const double* sums, std::int64_t n) const;

 private:
  DType dtype_;
  Epilogue epilogue_;
  Float64Activation float64_;
};

/// Rough cost of one element, in nanoseconds.
inline constexpr double kEpilogueNanoseconds = 0.6;

}  // namespace lamella::cpu
