// SPDX-License-Identifier: Apache-2.0
#include <lamella/initializer.hpp>

#include <algorithm>
#include <array>
#include <charconv>
#include <cmath>
#include <cstddef>
#include <span>
#include <system_error>
#include <thread>
#include <utility>

#include "core/check.hpp"
#include "core/float_environment.hpp"
#include "core/format.hpp"
#include "core/random.hpp"

namespace lamella {
namespace {

/// The class, its snake-case name, and its parameters if it is a VarianceScaling with other defaults.
struct InitializerRow {
  std::string_view name;
  std::string_view snake;
  double scale = 0.0;  ///< 0: not of that family
  std::string_view mode;
  std::string_view distribution;
};
constexpr std::array<InitializerRow, 15> kInitializers{{{"Zeros", "zeros", 0.0, "", ""},
                                                        {"Ones", "ones", 0.0, "", ""},
                                                        {"Constant", "constant", 0.0, "", ""},
                                                        {"Identity", "identity", 0.0, "", ""},
                                                        {"RandomNormal", "random_normal", 0.0, "", ""},
                                                        {"RandomUniform", "random_uniform", 0.0, "", ""},
                                                        {"TruncatedNormal", "truncated_normal", 0.0, "", ""},
                                                        {"VarianceScaling", "variance_scaling", 0.0, "", ""},
                                                        {"GlorotUniform", "glorot_uniform", 1.0, "fan_avg", "uniform"},
                                                        {"GlorotNormal", "glorot_normal", 1.0, "fan_avg", "truncated_normal"},
                                                        {"HeUniform", "he_uniform", 2.0, "fan_in", "uniform"},
                                                        {"HeNormal", "he_normal", 2.0, "fan_in", "truncated_normal"},
                                                        {"LecunUniform", "lecun_uniform", 1.0, "fan_in", "uniform"},
                                                        {"LecunNormal", "lecun_normal", 1.0, "fan_in", "truncated_normal"},
                                                        {"Orthogonal", "orthogonal", 0.0, "", ""}}};
constexpr std::array<std::pair<std::string_view, std::string_view>, 6> kAliases{{{"normal", "RandomNormal"},
                                                                                 {"uniform", "RandomUniform"},
                                                                                 {"one", "Ones"},
                                                                                 {"zero", "Zeros"},
                                                                                 {"IdentityInitializer", "Identity"},
                                                                                 {"OrthogonalInitializer", "Orthogonal"}}};

const InitializerRow& initializer_row(std::string_view given) {
  std::string_view name = given;
  for (const auto& [alias, meant] : kAliases) name = given == alias ? meant : name;
  std::string known;
  for (const InitializerRow& row : kInitializers) {
    if (row.name == name || row.snake == name) return row;
    known += (known.empty() ? "" : ", ") + std::string(row.snake);
  }
  LAMELLA_EXPECTS(name != "STFT" && name != "stft" && name != "STFTInitializer", unsupported,
                  "initializer: got '{}', which only fills Fourier layers; allowed {}", name, known);
  core::throw_argument(ErrorCode::value, core::format("initializer: got '{}', allowed {}", core::escaped(given), known));
}

double product(const Shape& shape, const std::vector<int>& axes) {
  double result = 1.0;
  for (const int axis : axes) result *= static_cast<double>(shape[axis]);
  return result;
}

struct Fans {
  double in = 1.0;
  double out = 1.0;
};

Fans fans_of(const Initializer& initializer, const Shape& shape) {
  Fans fans;
  if (shape.rank() == 1) {
    fans = {static_cast<double>(shape[0]), static_cast<double>(shape[0])};
  } else if (shape.rank() >= 2) {
    const auto field = static_cast<double>(shape.elements(0, shape.rank() - 2));
    fans = {static_cast<double>(shape[-2]) * field, static_cast<double>(shape[-1]) * field};
  }
  if (initializer.input_axes) fans.in = product(shape, *initializer.input_axes);
  if (initializer.output_axes) fans.out = product(shape, *initializer.output_axes);
  return fans;
}

core::Distribution scaled(const Initializer& initializer, double scale, std::string_view mode, std::string_view distribution,
                          const Shape& shape) {
  using Kind = core::Distribution::Kind;
  LAMELLA_EXPECTS(std::isfinite(scale) && scale > 0.0, value, "[VarianceScaling] scale: got {:g}, allowed above 0", scale);
  LAMELLA_EXPECTS(mode == "fan_in" || mode == "fan_out" || mode == "fan_avg", value,
                  "[VarianceScaling] mode: got '{}', allowed fan_in, fan_out, fan_avg", core::escaped(mode));
  const Fans fans = fans_of(initializer, shape);
  const double fan = mode == "fan_in" ? fans.in : mode == "fan_out" ? fans.out : (fans.in + fans.out) / 2.0;
  const double variance = scale / std::max(1.0, fan);
  constexpr double kCutStddev = 0.87962566103423978;  // of a standard normal truncated at +-2
  if (distribution == "truncated_normal" || distribution == "normal")
    return {Kind::truncated_normal, 0.0, std::sqrt(variance) / kCutStddev};
  if (distribution == "untruncated_normal") return {Kind::normal, 0.0, std::sqrt(variance)};
  if (distribution == "uniform") return {Kind::uniform, -std::sqrt(3.0 * variance), 2.0 * std::sqrt(3.0 * variance)};
  core::throw_argument(
      ErrorCode::value,
      core::format("[VarianceScaling] distribution: got '{}', allowed truncated_normal, normal, untruncated_normal, uniform",
                   core::escaped(distribution)));
}

core::Distribution distribution_of(const Initializer& initializer, const InitializerRow& row, const Shape& shape) {
  using Kind = core::Distribution::Kind;
  if (row.scale > 0.0) return scaled(initializer, row.scale, row.mode, row.distribution, shape);
  if (row.name == "VarianceScaling")
    return scaled(initializer, initializer.scale, initializer.mode, initializer.distribution, shape);
  if (row.name == "RandomUniform") {
    const double width = initializer.maxval - initializer.minval;
    LAMELLA_EXPECTS(std::isfinite(width) && width >= 0.0, value,
                    "[RandomUniform] minval: got {:g}, allowed up to maxval, which is {:g}", initializer.minval,
                    initializer.maxval);
    return {Kind::uniform, initializer.minval, width};
  }
  LAMELLA_EXPECTS(std::isfinite(initializer.mean), value, "[{}] mean: got {:g}, allowed finite values", row.name,
                  initializer.mean);
  LAMELLA_EXPECTS(std::isfinite(initializer.stddev) && initializer.stddev >= 0.0, value,
                  "[{}] stddev: got {:g}, allowed 0 and more", row.name, initializer.stddev);
  return {row.name == "RandomNormal" ? Kind::normal : Kind::truncated_normal, initializer.mean, initializer.stddev};
}

/// Draws elements [first, last) in pieces that fit into the cache, and stores them as T.
template <typename T>
void draw_range(const core::Distribution& distribution, std::uint64_t seed, std::size_t first, std::size_t last,
                std::span<T> out) {
  std::array<double, 1024> piece{};
  while (first < last) {
    const std::size_t count = std::min(piece.size(), last - first);
    core::draw(distribution, seed, first, std::span(piece).first(count));
    for (std::size_t i = 0; i < count; ++i) out[first + i] = static_cast<T>(piece[i]);
    first += count;
  }
}

template <typename T>
void draw_all(const core::Distribution& distribution, std::uint64_t seed, std::span<T> out) {
  constexpr std::size_t kWorthAThread = std::size_t{1} << 18U;
  const std::size_t cores = std::max(1U, std::thread::hardware_concurrency());
  const std::size_t parts = std::clamp<std::size_t>(out.size() / kWorthAThread, 1, std::min<std::size_t>(cores, 64));
  const std::size_t each = (out.size() + parts - 1) / parts;
  std::vector<std::jthread> helpers;
  for (std::size_t part = 1; part < parts; ++part) {
    const std::size_t first = std::min(part * each, out.size());
    const auto work = [=, &distribution] { draw_range(distribution, seed, first, std::min(first + each, out.size()), out); };
    try {
      helpers.emplace_back(work);
    } catch (const std::system_error&) {  // no thread available: draw the same numbers here
      work();
    }
  }
  draw_range(distribution, seed, 0, std::min(each, out.size()), out);
}

Tensor filled(const Shape& shape, double value) {
  Tensor result(shape, DType::float64);
  std::ranges::fill(result.span<double>(), value);
  return result;
}

Tensor identity_of(const Shape& shape, double gain) {
  LAMELLA_EXPECTS(shape.rank() == 2, shape, "[Identity] shape: got {}, allowed two axes", to_string(shape));
  Tensor result = filled(shape, 0.0);
  const std::int64_t diagonal = std::min(shape[0], shape[1]);
  for (std::int64_t i = 0; i < diagonal; ++i) result.span<double>()[static_cast<std::size_t>(i * shape[1] + i)] = gain;
  return result;
}

Tensor orthogonal_of(const Shape& shape, double gain, std::uint64_t seed) {
  LAMELLA_EXPECTS(shape.rank() >= 2, shape, "[Orthogonal] shape: got {}, allowed two axes and more", to_string(shape));
  Tensor result(shape, DType::float64);
  if (shape.elements() > 0)
    core::draw_orthogonal(shape.elements(0, shape.rank() - 1), shape.back(), gain, seed, result.span<double>());
  return result;
}

/// A float as Python's json writes it: the shortest text that reads back the same, always with a point or an exponent.
std::string json_number(double value) {
  if (std::isnan(value)) return "NaN";
  if (std::isinf(value)) return value < 0 ? "-Infinity" : "Infinity";
  std::array<char, 32> text{};
  const auto [end, error] = std::to_chars(text.data(), text.data() + text.size(), value);
  std::string result(text.data(), end);
  if (result.find_first_of(".e") == std::string::npos) result += ".0";
  return result;
}

std::string json_axes(const std::vector<int>& axes) {
  std::string text = "[";
  for (const int axis : axes) text += core::format("{}{}", text.size() > 1 ? ", " : "", axis);
  return text + "]";
}

}  // namespace

Initializer::Initializer(std::string_view name) : class_name(initializer_row(name).name) {}
Initializer::Initializer(const char* name) : Initializer(core::not_null(name, "[Initializer] name")) {}

Initializer Initializer::zeros() { return {"Zeros"}; }
Initializer Initializer::ones() { return {"Ones"}; }
Initializer Initializer::glorot_uniform() { return {"GlorotUniform"}; }
Initializer Initializer::glorot_normal() { return {"GlorotNormal"}; }
Initializer Initializer::he_uniform() { return {"HeUniform"}; }
Initializer Initializer::he_normal() { return {"HeNormal"}; }
Initializer Initializer::lecun_uniform() { return {"LecunUniform"}; }
Initializer Initializer::lecun_normal() { return {"LecunNormal"}; }

Initializer Initializer::constant(double value) {
  Initializer result("Constant");
  result.value = value;
  return result;
}
Initializer Initializer::identity(double gain) {
  Initializer result("Identity");
  result.gain = gain;
  return result;
}
Initializer Initializer::orthogonal(double gain) {
  Initializer result("Orthogonal");
  result.gain = gain;
  return result;
}
Initializer Initializer::random_normal(double mean, double stddev) {
  Initializer result("RandomNormal");
  result.mean = mean;
  result.stddev = stddev;
  return result;
}
Initializer Initializer::random_uniform(double minval, double maxval) {
  Initializer result("RandomUniform");
  result.minval = minval;
  result.maxval = maxval;
  return result;
}
Initializer Initializer::truncated_normal(double mean, double stddev) {
  Initializer result("TruncatedNormal");
  result.mean = mean;
  result.stddev = stddev;
  return result;
}
Initializer Initializer::variance_scaling(double scale, std::string_view mode, std::string_view distribution) {
  Initializer result("VarianceScaling");
  result.scale = scale;
  result.mode = mode;
  result.distribution = distribution == "normal" ? "truncated_normal" : distribution;
  return result;
}

std::string Initializer::config_json() const {
  std::vector<std::string> fields;
  const auto add = [&](std::string_view key, const std::string& text) {
    fields.push_back(core::format("\"{}\": {}", key, text));
  };
  const auto add_text = [&](std::string_view key, const std::string& text) {
    add(key, core::format("\"{}\"", core::escaped(text)));
  };
  const InitializerRow& row = initializer_row(class_name);
  if (row.name == "Constant") add("value", json_number(value));
  if (row.name == "Identity" || row.name == "Orthogonal") add("gain", json_number(gain));
  if (row.name == "RandomNormal" || row.name == "TruncatedNormal") {
    add("mean", json_number(mean));
    add("stddev", json_number(stddev));
  }
  if (row.name == "RandomUniform") {
    add("minval", json_number(minval));
    add("maxval", json_number(maxval));
  }
  if (row.name == "VarianceScaling") {
    add("scale", json_number(scale));
    add_text("mode", mode);
    add_text("distribution", distribution);
  }
  const bool fixed = row.name == "Zeros" || row.name == "Ones" || row.name == "Constant" || row.name == "Identity";
  if (!fixed) add("seed", seed ? core::format("{}", *seed) : "null");
  if (input_axes) add("input_axes", json_axes(*input_axes));
  if (output_axes) add("output_axes", json_axes(*output_axes));
  std::string config;
  for (const std::string& field : fields) config += (config.empty() ? "" : ", ") + field;
  return core::format(R"({{"module": "keras.initializers", "class_name": "{}", "config": {{{}}}, "registered_name": null}})",
                      row.name, config);
}

Tensor initialize(const Initializer& initializer, const Shape& shape, DType dtype, std::uint64_t seed) {
  const core::FloatEnvironment environment;
  const InitializerRow& row = initializer_row(initializer.class_name);
  if (row.name == "Zeros") return Tensor::zeros(shape, dtype);
  if (row.name == "Ones") return filled(shape, 1.0).to(dtype);
  if (row.name == "Constant") return filled(shape, initializer.value).to(dtype);
  if (row.name == "Identity") return identity_of(shape, initializer.gain).to(dtype);
  LAMELLA_EXPECTS(is_floating(dtype), dtype, "[{}] dtype: got {}, allowed floating types", row.name, to_string(dtype));
  const std::uint64_t used = initializer.seed.value_or(seed);
  if (row.name == "Orthogonal") return orthogonal_of(shape, initializer.gain, used).to(dtype);
  const core::Distribution distribution = distribution_of(initializer, row, shape);
  Tensor result(shape, dtype == DType::float32 ? DType::float32 : DType::float64);
  if (result.dtype() == DType::float32) {
    draw_all(distribution, used, result.span<float>());
    return result;
  }
  draw_all(distribution, used, result.span<double>());
  return dtype == DType::float64 ? std::move(result) : result.to(dtype);
}

}  // namespace lamella
