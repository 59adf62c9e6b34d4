// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <functional>
#include <map>
#include <mutex>
#include <span>
#include <string>
#include <string_view>

#include <lamella/activation.hpp>
#include <lamella/dtype.hpp>

#include "core/mutex.hpp"

namespace lamella::core {

/// A vendor's form of an activation, by everything that may choose another routine inside the vendor's library.
struct VendorForm {
  std::string_view vendor;
  ActivationSpec activation;
  DType dtype = DType::float32;  ///< of x and of the result
  bool tf32 = false;             ///< x reaches the activation through a product that rounds to TensorFloat-32
  std::string algorithm = {};    ///< what the vendor calls or encodes it by; may be empty
};

/// Computes y[i] = f(x[i]) with a vendor's routine; host arrays. Each x is a value of the form's dtype.
using VendorFunction = std::function<void(std::span<const double> x, std::span<double> y)>;

/// Whether vendors' activations are Keras', one device's. Thread-safe.
class Verdicts {
 public:
  /// Empty when the form is Keras' formula, rounded to the dtype, within the table's bound: for ordinary values, small and large
  /// ones, both infinities and NaN. Else a sentence with the first value that differs. `compute` runs once a form.
  [[nodiscard]] LAMELLA_API std::string why_not(const VendorForm& form, const VendorFunction& compute);

 private:
  Mutex mutex_;
  std::map<std::string, std::string> known_;
};

}  // namespace lamella::core
