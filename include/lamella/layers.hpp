// SPDX-License-Identifier: Apache-2.0
/// Keras' layers with Keras' names, arguments and defaults; lamella/models.hpp builds models from them.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include <lamella/activation.hpp>
#include <lamella/export.hpp>
#include <lamella/initializer.hpp>
#include <lamella/layer.hpp>
#include <lamella/normalization_layers.hpp>

namespace lamella {

/// The value of `activation=`: a name of keras.activations, one with parameters such as ActivationSpec::leaky_relu(0.05), or a
/// layer such as PReLU. Throws ArgumentError (argument) for null.
struct LAMELLA_API ActivationArgument {
  std::string name = "linear";  ///< used where the others are not given
  std::optional<ActivationSpec> spec = std::nullopt;
  std::optional<Layer> layer = std::nullopt;
  ActivationArgument() = default;
  ActivationArgument(const char* keras_name);                                           // NOLINT(google-explicit-constructor)
  ActivationArgument(std::string_view keras_name) : name(keras_name) {}                 // NOLINT(google-explicit-constructor)
  ActivationArgument(std::string keras_name) : name(std::move(keras_name)) {}           // NOLINT(google-explicit-constructor)
  ActivationArgument(const ActivationSpec& with_parameters) : spec(with_parameters) {}  // NOLINT(google-explicit-constructor)
  ActivationArgument(Layer as_layer) : layer(std::move(as_layer)) {}                    // NOLINT(google-explicit-constructor)
};

// Arguments have Keras' names and defaults. Every options struct ends with the arguments common to all layers: name, trainable,
// and dtype, a policy such as "float32" or "mixed_bfloat16". Regularizers and constraints do not affect results and are kept for
// get_config(): a name such as "l2", or the JSON text of Keras' object; empty means None. A constructor throws ArgumentError for
// what Keras refuses.

/// The arguments of layers that have no others.
struct LayerOptions {
  std::string name = {};
  bool trainable = true;
  std::string dtype = "float32";
};

struct InputOptions {
  std::string name = {};
  std::string dtype = "float32";
};
/// The start of a graph: samples of this shape, without the batch, -1 where Keras has None.
[[nodiscard]] LAMELLA_API KerasTensor Input(const std::vector<std::int64_t>& shape, const InputOptions& options = {});

struct DenseOptions {
  ActivationArgument activation = {};
  bool use_bias = true;
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
/// activation(x . kernel + bias) over the last axis: (..., inputs) to (..., units). Weights: kernel
/// (inputs, units), [bias (units)].
class LAMELLA_API Dense : public Layer {
 public:
  explicit Dense(std::int64_t units, const DenseOptions& options = {});
};

/// A name of keras.activations, or a layer without weights.
class LAMELLA_API Activation : public Layer {
 public:
  explicit Activation(const ActivationArgument& activation, const LayerOptions& options = {});
};

struct ReLUOptions {
  std::optional<double> max_value = std::nullopt;
  double negative_slope = 0.0;
  double threshold = 0.0;
  std::string name = {};
  bool trainable = true;
  std::string dtype = "float32";
};
/// x where x > threshold, else negative_slope * (x - threshold); at most max_value.
class LAMELLA_API ReLU : public Layer {
 public:
  explicit ReLU(const ReLUOptions& options = {});
};

struct LeakyReLUOptions {
  double negative_slope = 0.3;
  std::string name = {};
  bool trainable = true;
  std::string dtype = "float32";
};
/// x where x >= 0, else negative_slope * x.
class LAMELLA_API LeakyReLU : public Layer {
 public:
  explicit LeakyReLU(const LeakyReLUOptions& options = {});
};

struct PReLUOptions {
  Initializer alpha_initializer = "zeros";
  std::string alpha_regularizer = {};
  std::string alpha_constraint = {};
  std::vector<int> shared_axes = {};  ///< axes along which one alpha is shared, counted from 1: the batch is 0
  std::string name = {};
  bool trainable = true;
  std::string dtype = "float32";
};
/// x where x >= 0, else alpha * x. Weight: alpha, of a sample's shape with 1 along shared axes.
class LAMELLA_API PReLU : public Layer {
 public:
  explicit PReLU(const PReLUOptions& options = {});
};

struct ELUOptions {
  double alpha = 1.0;
  std::string name = {};
  bool trainable = true;
  std::string dtype = "float32";
};
/// x where x > 0, else alpha * (exp(x) - 1).
class LAMELLA_API ELU : public Layer {
 public:
  explicit ELU(const ELUOptions& options = {});
};

struct SoftmaxOptions {
  OneOrMany<int> axis = -1;  ///< the batch counts as axis 0, here and everywhere
  std::string name = {};
  bool trainable = true;
  std::string dtype = "float32";
};
/// exp(x) over its sum along `axis`, or along several axes together.
class LAMELLA_API Softmax : public Layer {
 public:
  explicit Softmax(const SoftmaxOptions& options = {});
};

struct ThresholdedReLUOptions {
  double theta = 1.0;
  std::string name = {};
  bool trainable = true;
  std::string dtype = "float32";
};
/// x where x > theta, else 0. From Keras 2; Keras 3 reads it as a legacy layer.
class LAMELLA_API ThresholdedReLU : public Layer {
 public:
  explicit ThresholdedReLU(const ThresholdedReLUOptions& options = {});
};

// No effect at inference.

struct DropoutOptions {
  std::vector<std::int64_t> noise_shape = {};  ///< batch first, -1 where Keras has None; empty: not given
  std::optional<std::uint64_t> seed = std::nullopt;
  std::string name = {};
  bool trainable = true;
  std::string dtype = "float32";
};
class LAMELLA_API Dropout : public Layer {
 public:
  explicit Dropout(double rate, const DropoutOptions& options = {});
};
class LAMELLA_API AlphaDropout : public Layer {
 public:
  explicit AlphaDropout(double rate, const DropoutOptions& options = {});
};
struct NoiseOptions {
  std::optional<std::uint64_t> seed = std::nullopt;
  std::string name = {};
  bool trainable = true;
  std::string dtype = "float32";
};
class LAMELLA_API GaussianDropout : public Layer {
 public:
  explicit GaussianDropout(double rate, const NoiseOptions& options = {});
};
class LAMELLA_API GaussianNoise : public Layer {
 public:
  explicit GaussianNoise(double stddev, const NoiseOptions& options = {});
};
struct SpatialDropoutOptions {
  std::optional<std::uint64_t> seed = std::nullopt;
  std::string name = {};
  std::string dtype = "float32";
};
class LAMELLA_API SpatialDropout1D : public Layer {
 public:
  explicit SpatialDropout1D(double rate, const SpatialDropoutOptions& options = {});
};
class LAMELLA_API SpatialDropout2D : public Layer {
 public:
  explicit SpatialDropout2D(double rate, const SpatialDropoutOptions& options = {});
};
class LAMELLA_API SpatialDropout3D : public Layer {
 public:
  explicit SpatialDropout3D(double rate, const SpatialDropoutOptions& options = {});
};
struct ActivityRegularizationOptions {
  double l1 = 0.0;
  double l2 = 0.0;
  std::string name = {};
  bool trainable = true;
  std::string dtype = "float32";
};
class LAMELLA_API ActivityRegularization : public Layer {
 public:
  explicit ActivityRegularization(const ActivityRegularizationOptions& options = {});
};
class LAMELLA_API Identity : public Layer {
 public:
  explicit Identity(const LayerOptions& options = {});
};

struct FlattenOptions {
  std::string data_format = "channels_last";
  std::string name = {};
  bool trainable = true;
  std::string dtype = "float32";
};
/// All axes of a sample as one.
class LAMELLA_API Flatten : public Layer {
 public:
  explicit Flatten(const FlattenOptions& options = {});
};
/// Reshapes each sample; one extent may be -1.
class LAMELLA_API Reshape : public Layer {
 public:
  explicit Reshape(const std::vector<std::int64_t>& target_shape, const LayerOptions& options = {});
};

/// Permutes the axes of a sample: `dims` counts them from 1.
class LAMELLA_API Permute : public Layer {
 public:
  explicit Permute(const std::vector<int>& dims, const LayerOptions& options = {});
};
/// (channels,) to (n, channels).
class LAMELLA_API RepeatVector : public Layer {
 public:
  explicit RepeatVector(std::int64_t n, const LayerOptions& options = {});
};
struct MaskingOptions {
  double mask_value = 0.0;
  std::string name = {};
  bool trainable = true;
  std::string dtype = "float32";
};
/// Masks the steps of (steps, channels) that are all equal to `mask_value`, and makes them 0. docs/keras-files.md says which
/// layers pass a mask on, and what each does with it.
class LAMELLA_API Masking : public Layer {
 public:
  explicit Masking(const MaskingOptions& options = {});
};

// Merges of several values, element by element, broadcast as in Keras: Add()({a, b}).

class LAMELLA_API Add : public Layer {
 public:
  explicit Add(const LayerOptions& options = {});
};
/// The first value less the second.
class LAMELLA_API Subtract : public Layer {
 public:
  explicit Subtract(const LayerOptions& options = {});
};
class LAMELLA_API Multiply : public Layer {
 public:
  explicit Multiply(const LayerOptions& options = {});
};
class LAMELLA_API Average : public Layer {
 public:
  explicit Average(const LayerOptions& options = {});
};
class LAMELLA_API Maximum : public Layer {
 public:
  explicit Maximum(const LayerOptions& options = {});
};
class LAMELLA_API Minimum : public Layer {
 public:
  explicit Minimum(const LayerOptions& options = {});
};
struct ConcatenateOptions {
  int axis = -1;  ///< the batch counts as axis 0
  std::string name = {};
  bool trainable = true;
  std::string dtype = "float32";
};
/// Values that differ along `axis` only, one after another along it.
class LAMELLA_API Concatenate : public Layer {
 public:
  explicit Concatenate(const ConcatenateOptions& options = {});
};

}  // namespace lamella
