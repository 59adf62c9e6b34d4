// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <array>
#include <span>
#include <string>

#include "cpu/plans.hpp"
#include "ops/dense.hpp"

/// The engines for a Dense layer on the CPU.
namespace lamella::cpu {

using DenseEngine = ops::Engine<ops::DenseDesc>;

const DenseEngine& small_engine();            ///< lamella's own product: for small sizes, without overhead
const DenseEngine& onednn_postop_engine();    ///< oneDNN's product with its own activation
const DenseEngine& onednn_epilogue_engine();  ///< oneDNN's product, then bias and any activation in one pass
const DenseEngine& small_unfused_engine();    ///< the product of `small`, then bias, then activation: three passes
const DenseEngine& unfused_engine();          ///< the same with oneDNN's product
const DenseEngine& reference_engine();        ///< plain loops, any floating dtype

/// Of equals by prediction the first is taken; the last refuses no floating dtype.
inline std::span<const DenseEngine* const> dense_engines() {
  static const std::array<const DenseEngine*, 6> engines{&small_engine(),           &onednn_postop_engine(),
                                                         &onednn_epilogue_engine(), &small_unfused_engine(),
                                                         &unfused_engine(),         &reference_engine()};
  return engines;
}

using ops::refused_by_all;

}  // namespace lamella::cpu
