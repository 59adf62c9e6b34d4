// SPDX-License-Identifier: Apache-2.0
/// Products other than Dense, and a wrapper; lamella/layers.hpp has the other layers.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include <lamella/layers.hpp>

namespace lamella {

struct EinsumDenseOptions {
  ActivationArgument activation = {};
  std::string bias_axes = {};  ///< labels of the output's axes; empty is None
  Initializer kernel_initializer = "glorot_uniform";
  Initializer bias_initializer = "zeros";
  std::string kernel_regularizer = {};
  std::string bias_regularizer = {};
  std::string activity_regularizer = {};
  std::string kernel_constraint = {};
  std::string bias_constraint = {};
  std::string name = {};
  bool trainable = true;
  std::string dtype = "float32";
};
/// A product over axes named by `equation`, such as "abc,cd->abd". `output_shape` is a sample's, without the axes covered by
/// "...", -1 where Keras has None. Weights: kernel, [bias].
class LAMELLA_API EinsumDense : public Layer {
 public:
  explicit EinsumDense(std::string_view equation, const OneOrMany<std::int64_t>& output_shape,
                       const EinsumDenseOptions& options = {});
};

struct EmbeddingOptions {
  Initializer embeddings_initializer = "uniform";
  std::string embeddings_regularizer = {};
  std::string embeddings_constraint = {};
  bool mask_zero = false;
  std::string name = {};
  bool trainable = true;
  std::string dtype = "float32";
};
/// Row x of a table of `input_dim` rows: integers become vectors of `output_dim`. Negative numbers count from the end, and a row
/// that does not exist is NaN, as in Keras on JAX. Weight: embeddings.
class LAMELLA_API Embedding : public Layer {
 public:
  Embedding(std::int64_t input_dim, std::int64_t output_dim, const EmbeddingOptions& options = {});
};

struct DotOptions {
  bool normalize = false;  ///< scales both inputs to length 1 along their axes
  std::string name = {};
  bool trainable = true;
  std::string dtype = "float32";
};
/// Sums of products of two values along one axis of each; one number names the same axis of both.
class LAMELLA_API Dot : public Layer {
 public:
  explicit Dot(const OneOrMany<int>& axes, const DotOptions& options = {});
};

/// Applies `layer`, or a model with one input and one output, to every index of the first axis after the batch.
class LAMELLA_API TimeDistributed : public Layer {
 public:
  explicit TimeDistributed(const Layer& layer, const LayerOptions& options = {});
};

}  // namespace lamella
