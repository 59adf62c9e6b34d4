// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>

#include <lamella/activation.hpp>

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

/// Rough cost of one element, in nanoseconds.
inline constexpr double kEpilogueNanoseconds = 0.6;

}  // namespace lamella::cpu
