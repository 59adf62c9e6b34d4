// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <array>
#include <span>

#include "cuda/plans.hpp"

/// The engines for softmax, log_softmax, sparsemax and glu on a CUDA device.
namespace lamella::cuda {

using RowwiseEngine = ops::Engine<ops::RowwiseDesc>;

const RowwiseEngine& rowwise_engine();        ///< lamella's own kernels; refuses nothing
const RowwiseEngine& cudnn_softmax_engine();  ///< cuDNN's softmax and log_softmax

/// Best first; see activation_engines().
inline std::span<const RowwiseEngine* const> rowwise_engines() {
  static const std::array<const RowwiseEngine*, 2> engines{&rowwise_engine(), &cudnn_softmax_engine()};
  return engines;
}

}  // namespace lamella::cuda
