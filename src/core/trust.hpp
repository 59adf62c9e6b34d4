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

/// A vendor's form of an activation, with everything that may select a different routine inside the vendor's library.
struct VendorForm {
  std::string_view vendor;
  ActivationSpec activation;
  DType dtype = DType::float32;  ///< of x and of the result
  bool tf32 = false;             ///< x reaches the activation through a product that rounds to TensorFloat-32
  std::string algorithm = {};    ///< the vendor's name or encoding of the algorithm; may be empty
};

/// Computes y[i] = f(x[i]) with a vendor's routine; host arrays. Each x is a value of the form's dtype.
using VendorFunction = std::function<void(std::span<const double> x, std::span<double> y)>;

/// Remembers for one device whether vendors' activations match Keras'. Thread-safe.
class Verdicts {
 public:
  /// Empty if the form matches Keras' formula, rounded to the dtype, within the table's bound, for ordinary, small and large
  /// values, both infinities and NaN; else a sentence with the first value that differs. `compute` runs once per form.
  [[nodiscard]] LAMELLA_API std::string why_not(const VendorForm& form, const VendorFunction& compute);

 private:
  Mutex mutex_;
  std::map<std::string, std::string> known_;
};

}  // namespace lamella::core
