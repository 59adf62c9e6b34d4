// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include <lamella/dtype.hpp>
#include <lamella/export.hpp>
#include <lamella/shape.hpp>
#include <lamella/tensor.hpp>

namespace lamella {

/// How a weight's initial values are drawn, in Keras' words. Plain data: a class reads the fields of its own Keras config and
/// no others. Distributions are Keras'; the same seed gives other numbers than in Keras.
struct LAMELLA_API Initializer {
  std::string class_name = "GlorotUniform";       ///< always Keras' class name
  double value = 0.0;                             ///< Constant
  double gain = 1.0;                              ///< Identity, Orthogonal
  double mean = 0.0;                              ///< RandomNormal, TruncatedNormal
  double stddev = 0.05;                           ///< RandomNormal, TruncatedNormal
  double minval = -0.05;                          ///< RandomUniform
  double maxval = 0.05;                           ///< RandomUniform
  double scale = 1.0;                             ///< VarianceScaling
  std::string mode = "fan_in";                    ///< VarianceScaling: fan_in, fan_out, fan_avg
  std::string distribution = "truncated_normal";  ///< VarianceScaling: truncated_normal (or normal), untruncated_normal, uniform
  std::optional<std::uint64_t> seed;              ///< unset: the seed given to initialize()
  std::optional<std::vector<int>> input_axes;   ///< VarianceScaling and classes derived from it: the axes whose product is fan_in
  std::optional<std::vector<int>> output_axes;  ///< the same for fan_out

  Initializer() = default;
  /// Class name, snake-case name or alias with Keras' defaults: "HeNormal", "he_normal", "zero". Case-sensitive.
  /// Throws ArgumentError: argument for null, value for an unknown name, unsupported for STFT.
  Initializer(std::string_view name);  // NOLINT(google-explicit-constructor): as in Keras
  Initializer(const char* name);       // NOLINT(google-explicit-constructor)
  Initializer(const std::string& name) : Initializer(std::string_view(name)) {}  // NOLINT(google-explicit-constructor)

  /// Keras' initializers with Keras' defaults. Parameters are checked when weights are drawn.
  [[nodiscard]] static Initializer zeros();
  [[nodiscard]] static Initializer ones();
  [[nodiscard]] static Initializer constant(double value);
  [[nodiscard]] static Initializer identity(double gain = 1.0);
  [[nodiscard]] static Initializer orthogonal(double gain = 1.0);
  [[nodiscard]] static Initializer random_normal(double mean = 0.0, double stddev = 0.05);
  [[nodiscard]] static Initializer random_uniform(double minval = -0.05, double maxval = 0.05);
  [[nodiscard]] static Initializer truncated_normal(double mean = 0.0, double stddev = 0.05);
  [[nodiscard]] static Initializer variance_scaling(double scale = 1.0, std::string_view mode = "fan_in",
                                                    std::string_view distribution = "truncated_normal");
  [[nodiscard]] static Initializer glorot_uniform();
  [[nodiscard]] static Initializer glorot_normal();
  [[nodiscard]] static Initializer he_uniform();
  [[nodiscard]] static Initializer he_normal();
  [[nodiscard]] static Initializer lecun_uniform();
  [[nodiscard]] static Initializer lecun_normal();

  /// What Keras 3 writes into config.json for this initializer. input_axes and output_axes appear only when set, so that Keras
  /// before 3.15 can read it too.
  [[nodiscard]] std::string config_json() const;

  friend bool operator==(const Initializer& a, const Initializer& b) = default;
};

/// Draws a tensor on the CPU. Element i depends on the seed, i and the shape's fans only, never on the number of threads;
/// initializer.seed takes precedence over `seed`. Bounds hold before rounding to `dtype`. Throws ArgumentError: value (a
/// parameter), shape (Identity needs rank 2, Orthogonal at least rank 2; axes out of range), dtype (random integers).
[[nodiscard]] LAMELLA_API Tensor initialize(const Initializer& initializer, const Shape& shape, DType dtype = DType::float32,
                                            std::uint64_t seed = 0);

}  // namespace lamella
