// SPDX-License-Identifier: Apache-2.0
#include <algorithm>
#include <cmath>
#include <cstdio>
#include <cstring>
#include <limits>
#include <memory>

#include "cli/verbs.hpp"
#include "cli/words.hpp"
#include "core/format.hpp"

namespace lamella::cli {
namespace {

std::string index_text(std::int64_t flat, const Shape& shape) {
  std::string text;
  for (int axis = shape.rank() - 1; axis >= 0; --axis) {
    text = core::format("{}{}{}", flat % shape[axis], text.empty() ? "" : ", ", text);
    flat /= shape[axis];
  }
  return "[" + text + "]";
}

/// Whether every integer (or bool) equals the expected one; their dtypes may differ.
bool agrees_exactly(const std::string& name, const Tensor& found, const Tensor& expected) {
  const Tensor got = found.to(DType::int64);
  const Tensor want = expected.to(DType::int64);
  const auto g = got.span<std::int64_t>();
  const auto w = want.span<std::int64_t>();
  const auto different = std::mismatch(g.begin(), g.end(), w.begin()).first;
  if (different == g.end()) {
    std::printf("%s: %zu values agree exactly\n", name.c_str(), g.size());
    return true;
  }
  const auto at = different - g.begin();
  std::printf("%s: first at %s: got %lld, expected %lld\n", printable(name).c_str(), index_text(at, got.shape()).c_str(),
              static_cast<long long>(*different), static_cast<long long>(w[static_cast<std::size_t>(at)]));
  return false;
}

/// Whether every element is within atol + rtol * |expected|; NaN equals NaN, infinities equal only themselves.
bool agrees(const std::string& name, const Tensor& found, const Tensor& expected, double rtol, double atol) {
  if (found.shape() != expected.shape()) {
    print(stdout, core::format("{}: got shape {}, expected {}\n", name, to_string(found.shape()), to_string(expected.shape())));
    return false;
  }
  if (!is_floating(found.dtype()) && !is_floating(expected.dtype())) return agrees_exactly(name, found, expected);
  const Tensor got = found.to(DType::float64);
  const Tensor want = expected.to(DType::float64);
  std::int64_t worst = -1;
  double excess = 0;
  double largest = 0;
  for (std::int64_t i = 0; i < got.shape().elements(); ++i) {
    const double g = got.span<double>()[static_cast<std::size_t>(i)];
    const double w = want.span<double>()[static_cast<std::size_t>(i)];
    if (g == w || (std::isnan(g) && std::isnan(w))) continue;
    const double error = std::fabs(g - w);
    if (std::isfinite(error)) largest = std::max(largest, error);
    const double over = std::isfinite(error) && std::isfinite(w) ? error / (atol + rtol * std::fabs(w)) : INFINITY;
    if (over > 1 && (worst < 0 || over > excess)) {
      worst = i;
      excess = over;
    }
  }
  if (worst < 0) {
    print(stdout, name);
    std::printf(": %lld values agree, largest difference %.3g\n", static_cast<long long>(got.shape().elements()), largest);
    return true;
  }
  const double g = got.span<double>()[static_cast<std::size_t>(worst)];
  const double w = want.span<double>()[static_cast<std::size_t>(worst)];
  print(stdout, name);
  std::printf(": worst at %s: got %.9g, expected %.9g", index_text(worst, got.shape()).c_str(), g, w);
  if (std::isfinite(g) && std::isfinite(w))
    std::printf(", difference %.3g, allowed %.3g", std::fabs(g - w), atol + rtol * std::fabs(w));
  std::printf("\n");
  return false;
}

/// Concatenates rows.
Tensor joined(std::vector<Tensor>& parts) {
  if (parts.size() == 1) return std::move(parts[0]);
  std::int64_t rows = 0;
  for (const Tensor& part : parts) rows += part.shape()[0];
  Tensor whole(parts[0].shape().with(0, rows), parts[0].dtype());
  auto* at = static_cast<std::byte*>(whole.data());
  for (const Tensor& part : parts) {
    if (part.bytes() != 0) std::memcpy(at, part.data(), part.bytes());
    at += part.bytes();
  }
  return whole;
}

struct VerifyState {
  std::string model;
  std::string weights;
  std::vector<std::string> inputs;
  std::vector<std::string> expected;
  std::string header = "auto";
  double rtol = 1e-5;
  double atol = 2e-6;
  RunOptions run;
};

int run_verify(const VerifyState& state) {
  constexpr std::int64_t kAll = std::numeric_limits<std::int64_t>::max();
  const Header header = header_of(state.header);
  const Model model = load_model_for(state.inputs, state.model, state.weights, state.run.options(), header);
  const std::vector<ArraySpec> specs = outputs_of(model);
  const std::vector<Tensor> expected = open_inputs(state.expected, specs, "--expected", header).next(kAll, specs.size());
  Inputs inputs = open_inputs(state.inputs, inputs_of(model), "--input", header);
  std::vector<std::vector<Tensor>> parts(specs.size());
  static_cast<void>(predict_rows(model, inputs, 0, true, [&](const std::vector<Tensor>& outputs) {
    for (std::size_t i = 0; i < outputs.size(); ++i) parts[i].push_back(outputs[i].clone());
  }));
  bool same = true;
  for (std::size_t i = 0; i < parts.size(); ++i)
    same = agrees(specs[i].name, joined(parts[i]), expected[i], state.rtol, state.atol) && same;
  return same ? kOk : kDiffers;
}

}  // namespace

Registered add_verify(CLI::App& root) {
  auto state = std::make_shared<VerifyState>();
  CLI::App* app = root.add_subcommand("verify", "Compare a model's outputs with expected ones; exit code 1 when they differ");
  add_model(*app, state->model, kModelOrText);
  add_files(*app, "-i,--input", state->inputs,
            "X.npy or X.csv; for several inputs NAME=FILE each, or one npz or CSV with all of them")
      ->required();
  add_files(*app, "--expected", state->expected,
            "Y.npy or Y.csv; for several outputs NAME=FILE each, or one npz or CSV with all of them")
      ->required();
  add_weights(*app, state->weights);
  app->add_option("--rtol", state->rtol, "allowed relative difference")
      ->capture_default_str()
      ->type_name("NUMBER")
      ->check(tolerance());
  app->add_option("--atol", state->atol, "allowed absolute difference")
      ->capture_default_str()
      ->type_name("NUMBER")
      ->check(tolerance());
  add_header(*app, state->header);
  state->run.add_to(*app);
  app->footer(
      "A value agrees if |value - expected| <= atol + rtol * |expected|. NaN agrees\n"
      "with NaN, an infinity with the same one; integers agree if they are equal.\n\n"
      "  lamella verify model.keras -i x.npy --expected y.npy");
  return {app, [state] { return run_verify(*state); }};
}

}  // namespace lamella::cli
