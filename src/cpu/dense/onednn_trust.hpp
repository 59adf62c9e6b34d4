// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <string>

#include <lamella/activation.hpp>
#include <lamella/dtype.hpp>

namespace lamella::cpu::onednn {

/// Why oneDNN's form of this activation is not Keras' on this machine; empty when it is: NaN and infinities are treated alike and
/// every result is within the bound of the table. Found by running it over the whole range, once per process, activation and
/// type.
[[nodiscard]] std::string why_not_trusted(const ActivationSpec& activation, DType dtype);

}  // namespace lamella::cpu::onednn
