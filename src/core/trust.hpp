// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <functional>
#include <span>
#include <string>

#include <lamella/activation.hpp>

namespace lamella::core {

/// Computes y[i] = f(x[i]) with a vendor's routine; host arrays.
using VendorFunction = std::function<void(std::span<const float> x, std::span<float> y)>;

/// Empty when a vendor's float32 activation is Keras' formula within the table's bound: for ordinary values, small and large
/// ones, both infinities and NaN. Else a sentence with the first value that differs. Asked once per vendor, device and
/// activation; `compute` runs then. `device`: -1 is the CPU.
[[nodiscard]] LAMELLA_API std::string why_not_trusted(const char* vendor, int device, const ActivationSpec& activation,
                                                      const VendorFunction& compute);

}  // namespace lamella::core
