// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "ops/desc.hpp"

/// What Dense engines are expected to take, in microseconds, on a processor at about 4 GHz with vector units as wide as its
/// instruction set's. The order of engines depends on ratios, which hold for slower processors too; docs/performance.md has both,
/// measured.
namespace lamella::cpu {

/// lamella's own product, on at most `threads` threads.
[[nodiscard]] double predicted_panels_us(const ops::DenseDesc& d, int threads);
/// oneDNN's product, with the epilogue.
[[nodiscard]] double predicted_onednn_us(const ops::DenseDesc& d, int threads);
/// What two more passes over the results add.
[[nodiscard]] double predicted_passes_us(const ops::DenseDesc& d, int threads);

}  // namespace lamella::cpu
