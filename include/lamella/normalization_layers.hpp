// SPDX-License-Identifier: Apache-2.0
/// Keras' normalizations and Rescaling; part of lamella/layers.hpp.
#pragma once

#include <cstdint>
#include <string>

#include <lamella/export.hpp>
#include <lamella/initializer.hpp>
#include <lamella/layer.hpp>

namespace lamella {

struct BatchNormalizationOptions {
  int axis = -1;           ///< the axis with statistics of its own; the batch counts as axis 0
  double momentum = 0.99;  ///< used in training only
  double epsilon = 1e-3;
  bool center = true;
  bool scale = true;
  Initializer beta_initializer = "zeros";
  Initializer gamma_initializer = "ones";
  Initializer moving_mean_initializer = "zeros";
  Initializer moving_variance_initializer = "ones";
  std::string beta_regularizer = {};
  std::string gamma_regularizer = {};
  std::string beta_constraint = {};
  std::string gamma_constraint = {};
  bool synchronized = false;
  std::string name = {};
  bool trainable = true;
  std::string dtype = "float32";
};
/// gamma * (x - moving_mean) / sqrt(moving_variance + epsilon) + beta. Weights, each as long as `axis`: [gamma], [beta],
/// moving_mean, moving_variance.
class LAMELLA_API BatchNormalization : public Layer {
 public:
  explicit BatchNormalization(const BatchNormalizationOptions& options = {});
};

struct LayerNormalizationOptions {
  OneOrMany<int> axis = -1;
  double epsilon = 1e-3;
  bool center = true;
  bool scale = true;
  Initializer beta_initializer = "zeros";
  Initializer gamma_initializer = "ones";
  std::string beta_regularizer = {};
  std::string gamma_regularizer = {};
  std::string beta_constraint = {};
  std::string gamma_constraint = {};
  std::string name = {};
  bool trainable = true;
  std::string dtype = "float32";
};
/// gamma * (x - mean) / sqrt(variance + epsilon) + beta, with mean and variance over the given axes of each sample. Weights:
/// [gamma], [beta].
class LAMELLA_API LayerNormalization : public Layer {
 public:
  explicit LayerNormalization(const LayerNormalizationOptions& options = {});
};

struct RMSNormalizationOptions {
  OneOrMany<int> axis = -1;
  double epsilon = 1e-6;
  std::string name = {};
  bool trainable = true;
  std::string dtype = "float32";
};
/// x / sqrt(mean(x^2) + epsilon) * scale. Weight: scale.
class LAMELLA_API RMSNormalization : public Layer {
 public:
  explicit RMSNormalization(const RMSNormalizationOptions& options = {});
};
struct UnitNormalizationOptions {
  OneOrMany<int> axis = -1;
  std::string name = {};
  bool trainable = true;
  std::string dtype = "float32";
};
/// Scales vectors to Euclidean length 1.
class LAMELLA_API UnitNormalization : public Layer {
 public:
  explicit UnitNormalization(const UnitNormalizationOptions& options = {});
};
struct GroupNormalizationOptions {
  std::int64_t groups = 32;  ///< -1: one per channel
  int axis = -1;
  double epsilon = 1e-3;
  bool center = true;
  bool scale = true;
  Initializer beta_initializer = "zeros";
  Initializer gamma_initializer = "ones";
  std::string beta_regularizer = {};
  std::string gamma_regularizer = {};
  std::string beta_constraint = {};
  std::string gamma_constraint = {};
  std::string name = {};
  bool trainable = true;
  std::string dtype = "float32";
};
/// As LayerNormalization, over each group of channels with all other axes of the sample. Weights, each as long as `axis`:
/// [gamma], [beta].
class LAMELLA_API GroupNormalization : public Layer {
 public:
  explicit GroupNormalization(const GroupNormalizationOptions& options = {});
};

struct RescalingOptions {
  OneOrMany<double> offset = 0.0;
  std::string name = {};
  bool trainable = true;
  std::string dtype = "float32";
};
/// x * scale + offset.
class LAMELLA_API Rescaling : public Layer {
 public:
  explicit Rescaling(const OneOrMany<double>& scale, const RescalingOptions& options = {});
};

struct NormalizationOptions {
  OneOrMany<int> axis = -1;  ///< axes with separate statistics; {} is Keras' None: one mean and one variance
  OneOrMany<double> mean = {};
  OneOrMany<double> variance = {};
  bool invert = false;
  std::string name = {};
  bool trainable = true;
  std::string dtype = "float32";
};
/// (x - mean) / sqrt(variance). Mean and variance are required: there is no adapt().
class LAMELLA_API Normalization : public Layer {
 public:
  explicit Normalization(const NormalizationOptions& options);
};

}  // namespace lamella
