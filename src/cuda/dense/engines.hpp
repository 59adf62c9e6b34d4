// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <array>
#include <span>

#include "cuda/plans.hpp"

/// The engines for one or several Dense layers on a CUDA device.
namespace lamella::cuda {

using DenseEngine = ops::Engine<ops::DenseDesc>;

const DenseEngine& small_batch_engine();           ///< lamella's own, for few rows: bias and any activation inside
const DenseEngine& cublaslt_epilogue_engine();     ///< cuBLASLt's product with bias and activation inside
const DenseEngine& mma_gemm_engine();              ///< lamella's own, 16 bits by tensor cores: bias and any activation inside
const DenseEngine& gemm_then_epilogue_engine();    ///< cuBLASLt's product, then bias and any activation in one pass
const DenseEngine& gemm_bias_activation_engine();  ///< product, bias, activation by our kernel: three passes
const DenseEngine& gemm_bias_cudnn_engine();       ///< product, bias, activation by cuDNN: three passes
const DenseEngine& tiled_engine();                 ///< lamella's own product; any shape, any floating dtype

/// Of equals by prediction the first is taken; the last refuses no floating dtype.
inline std::span<const DenseEngine* const> dense_engines() {
  static const std::array<const DenseEngine*, 7> engines{
      &small_batch_engine(),          &cublaslt_epilogue_engine(), &mma_gemm_engine(), &gemm_then_epilogue_engine(),
      &gemm_bias_activation_engine(), &gemm_bias_cudnn_engine(),   &tiled_engine()};
  return engines;
}

using StackEngine = ops::Engine<ops::StackDesc>;

const StackEngine& stack_engine();  ///< narrow layers in float32, all of them in one launch

/// Best first.
inline std::span<const StackEngine* const> stack_engines() {
  static const std::array<const StackEngine*, 1> engines{&stack_engine()};
  return engines;
}

}  // namespace lamella::cuda
