// SPDX-License-Identifier: Apache-2.0
// Models that are built layer by layer: names with '/', equal names, layers renamed, wrapped into nested models and taken out
// again. A layer with another layer's constants gives wrong answers; these are compared with the formulas in float64.
#include <unistd.h>
#include <lamella/model.hpp>

#include <algorithm>
#include <array>
#include <cmath>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <nlohmann/json.hpp>
#include <vector>

#include "fuzz.hpp"

using namespace lamella;
using Json = nlohmann::ordered_json;

namespace {

constexpr std::array kNames{"a", "b", "c", "a/b", "b/c", "a/b/c", "a/a"};

/// A layer, or a nested model when it has layers of its own.
struct Node {
  std::string name;
  std::string class_name;
  std::vector<double> first;   ///< scale, mean
  std::vector<double> second;  ///< offset, variance
  std::vector<Node> layers;
};

std::vector<double> numbers(fuzz::Dice& dice, std::size_t width, double least) {
  std::vector<double> values(dice.below(2) == 0 ? 1 : width);
  for (double& v : values) v = least + static_cast<double>(dice.byte()) / 128;
  return values;
}

/// A name that no neighbour has; sometimes any name, which is refused if a model then has two equal ones.
std::string named(fuzz::Dice& dice, const std::vector<Node>& neighbours) {
  std::string name = kNames[dice.below(kNames.size())];
  if (dice.below(16) == 15) return name;
  const auto taken = [&] {
    return std::any_of(neighbours.begin(), neighbours.end(), [&](const Node& node) { return node.name == name; });
  };
  while (taken()) name += name.size() % 2 == 0 ? "/a" : "b";
  return name;
}

Node drawn(fuzz::Dice& dice, const std::vector<Node>& neighbours, std::size_t width) {
  Node node{named(dice, neighbours), "Rescaling", numbers(dice, width, -1), numbers(dice, width, -1), {}};
  if (dice.below(3) == 0) {
    node.class_name = "Normalization";
    node.second = numbers(dice, width, 0.5);
    node.second.resize(node.first.size(), 1.0);
  }
  return node;
}

/// One change: a layer is added, renamed, wrapped together with later ones, unwrapped, repeated or removed.
void change(std::vector<Node>& layers, fuzz::Dice& dice, std::size_t width) {
  const std::size_t at = dice.below(layers.size() + 1);
  const auto here = layers.begin() + static_cast<std::ptrdiff_t>(at);
  const std::size_t kind = dice.below(8);
  if (at == layers.size() || kind < 2) {
    layers.insert(here, drawn(dice, layers, width));
  } else if (kind == 2) {
    here->name = named(dice, layers);
  } else if (kind == 3) {
    const auto end = here + static_cast<std::ptrdiff_t>(1 + dice.below(layers.size() - at));
    Node outer{named(dice, layers), "Sequential", {}, {}, std::vector<Node>(here, end)};
    *here = std::move(outer);
    layers.erase(here + 1, end);
  } else if (kind == 4 && !here->layers.empty()) {
    const std::vector<Node> inner = here->layers;
    layers.insert(layers.erase(here), inner.begin(), inner.end());
  } else if (kind == 5 && layers.size() < 32) {
    Node copy = *here;
    copy.name = named(dice, layers);
    layers.insert(here, copy);
  } else if (kind == 6) {
    layers.erase(here);
  } else {
    change(here->layers, dice, width);
    if (here->layers.empty()) {
      *here = drawn(dice, layers, width);
    } else {
      here->class_name = "Sequential";
    }
  }
}

Json config_of(const std::string& name, const std::vector<Node>& layers, std::size_t width);

Json object_of(const Node& node, std::size_t width) {
  if (!node.layers.empty()) return config_of(node.name, node.layers, width);
  const bool rescales = node.class_name == "Rescaling";
  const auto value = [](const std::vector<double>& v) { return v.size() == 1 ? Json(v[0]) : Json(v); };
  Json config{{"name", node.name}, {rescales ? "scale" : "mean", value(node.first)}};
  config[rescales ? "offset" : "variance"] = value(node.second);
  if (!rescales) config["axis"] = Json::array({-1});
  return {{"module", "keras.layers"}, {"class_name", node.class_name}, {"config", config}, {"registered_name", nullptr}};
}

Json config_of(const std::string& name, const std::vector<Node>& layers, std::size_t width) {
  Json list = Json::array();
  list.push_back({{"module", "keras.layers"},
                  {"class_name", "InputLayer"},
                  {"config", {{"batch_shape", {nullptr, width}}, {"dtype", "float32"}, {"name", "input"}}},
                  {"registered_name", nullptr}});
  for (const Node& node : layers) list.push_back(object_of(node, width));
  return {{"module", "keras"},
          {"class_name", "Sequential"},
          {"config", {{"name", name}, {"layers", list}}},
          {"registered_name", nullptr}};
}

/// x, and the magnitude of the terms that were summed to compute it.
struct Value {
  double x;
  double size;
};

void pass(const std::vector<Node>& layers, std::vector<Value>& values) {
  for (const Node& node : layers) {
    pass(node.layers, values);
    if (!node.layers.empty()) continue;
    for (std::size_t i = 0; i < values.size(); ++i) {
      const double first = node.first[node.first.size() == 1 ? 0 : i];
      const double second = node.second[node.second.size() == 1 ? 0 : i];
      auto& [x, size] = values[i];
      if (node.class_name == "Rescaling") {
        x = x * first + second;
        size = size * std::fabs(first) + std::fabs(second);
      } else {
        x = (x - first) / std::sqrt(second);
        size = (size + std::fabs(first)) / std::sqrt(second);
      }
    }
  }
}

/// A folder for config.json, with weights that no layer needs; removed when the process ends.
class Folder {
 public:
  Folder() : path_(std::filesystem::temp_directory_path() / ("lamella-fuzz-" + std::to_string(::getpid()))) {
    std::filesystem::create_directories(path_);
    std::filesystem::copy_file(LAMELLA_FIXTURES "/../keras/data/tiny.h5", path_ / "model.weights.h5",
                               std::filesystem::copy_options::overwrite_existing);
  }
  ~Folder() { std::filesystem::remove_all(path_); }
  Folder(const Folder&) = delete;
  Folder& operator=(const Folder&) = delete;
  void write(const std::string& config) const { std::ofstream(path_ / "config.json") << config; }
  [[nodiscard]] std::string path() const { return path_.string(); }

 private:
  std::filesystem::path path_;
};

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  static const Folder folder;
  fuzz::Dice dice(data, size);
  const std::size_t width = 2 + dice.below(2) * 400;
  std::vector<Node> layers;
  while (!dice.empty()) change(layers, dice, width);
  if (layers.empty()) return 0;
  folder.write(config_of("model", layers, width).dump());
  Tensor x({2, width});
  std::vector<Value> values;
  for (float& v : x.span<float>()) {
    v = static_cast<float>(values.size() % 7) - 3.0F;
    if (values.size() < width) values.push_back({static_cast<double>(v), std::fabs(static_cast<double>(v))});
  }
  pass(layers, values);
  fuzz::survives([&] {
    const Model model = Model::load(folder.path(), {.device = Device::cpu(), .threads = 1});
    const Tensor y = model.predict(x);
    for (std::size_t i = 0; i < width; ++i) {
      const double got = static_cast<double>(y.span<float>()[i]);
      if (values[i].size < 1e30 && !(std::fabs(got - values[i].x) <= 1e-4 * values[i].size + 1e-30))
        fuzz::finding("a layer was computed with constants that are not its own");
    }
  });
  return 0;
}
