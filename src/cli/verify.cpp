// SPDX-License-Identifier: Apache-2.0
#include <algorithm>
#include <cmath>
#include <cstdio>
#include <memory>

#include "cli/verbs.hpp"

namespace lamella::cli {
namespace {

std::string index_text(std::int64_t flat, const Shape& shape) {
  std::string text;
  for (int axis = shape.rank() - 1; axis >= 0; --axis) {
    text = std::to_string(flat % shape[axis]) + (text.empty() ? "" : ", ") + text;
    flat /= shape[axis];
  }
  return "[" + text + "]";
}

/// True when every integer (or bool) is the expected one; their dtypes may differ.
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
  std::printf("%s: first at %s: got %lld, expected %lld\n", name.c_str(), index_text(at, got.shape()).c_str(),
              static_cast<long long>(*different), static_cast<long long>(w[static_cast<std::size_t>(at)]));
  return false;
}

/// True when every element is within atol + rtol * |expected|; NaN equals NaN, infinities only themselves.
bool agrees(const std::string& name, const Tensor& found, const Tensor& expected, double rtol, double atol) {
  if (found.shape() != expected.shape()) {
    print(stdout, name + ": got shape " + to_string(found.shape()) + ", expected " + to_string(expected.shape()) + "\n");
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
  print(stdout, name);
  std::printf(": worst at %s: got %.9g, expected %.9g, %.3g times what is allowed\n", index_text(worst, got.shape()).c_str(),
              got.span<double>()[static_cast<std::size_t>(worst)], want.span<double>()[static_cast<std::size_t>(worst)], excess);
  return false;
}

}  // namespace

Registered add_verify(CLI::App& root) {
  struct State {
    std::string model;
    std::vector<std::string> inputs;
    std::vector<std::string> expected;
    double rtol = 1e-5;
    double atol = 2e-6;
    RunOptions run;
  };
  auto state = std::make_shared<State>();
  CLI::App* app = root.add_subcommand("verify", "Compare a model's outputs with expected ones; exit code 1 when they differ");
  app->add_option("MODEL", state->model, ".keras or .h5 file")->required();
  app->add_option("--input", state->inputs, "X.npy; for several inputs NAME=X.npy each, or one X.npz")->required();
  app->add_option("--expected", state->expected, "Y.npy; for several outputs NAME=Y.npy each, or one Y.npz")->required();
  app->add_option("--rtol", state->rtol, "allowed relative difference")->capture_default_str()->check(tolerance());
  app->add_option("--atol", state->atol, "allowed absolute difference")->capture_default_str()->check(tolerance());
  state->run.add_to(*app);
  return {app, [state] {
            const Model model = load_model_for(state->inputs, state->model, "", state->run.options());
            const std::vector<Tensor> expected = load_arrays(state->expected, model.output_names(), "--expected");
            const std::vector<Tensor> outputs =
                predict_all(model, load_arrays(state->inputs, model.input_names(), "--input"), 4096);
            bool same = true;
            for (std::size_t i = 0; i < outputs.size(); ++i)
              same = agrees(model.output_names()[i], outputs[i], expected[i], state->rtol, state->atol) && same;
            return same ? kOk : kDiffers;
          }};
}

}  // namespace lamella::cli
