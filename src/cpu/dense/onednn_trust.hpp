// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <string>

#include <lamella/activation.hpp>
#include <lamella/dtype.hpp>

namespace lamella::cpu::onednn {

/// Why oneDNN's form of this activation does not match Keras' on this machine; empty if it does: NaN and infinities give
/// the same, and every result is within the table's bound. Checked over the whole range, once per process, activation and
/// type.
[[nodiscard]] std::string why_not_trusted(const ActivationSpec& activation, DType dtype);

}  // namespace lamella::cpu::onednn
