// SPDX-License-Identifier: Apache-2.0
// Weights of torch's Linear layers, for Dense layers.
#include <algorithm>
#include <charconv>
#include <limits>
#include <set>
#include <utility>
#include <vector>

#include "core/npy_head.hpp"
#include "keras/arrays.hpp"

namespace lamella::keras {
namespace {

constexpr std::pair<const char*, const char*> kLinearNames[] = {{"weight", "kernel"}, {"bias", "bias"}};

/// "net.0.weight" is the weight of the module "net.0".
std::pair<std::string, std::string> module_and_kind(const std::string& name) {
  const std::size_t dot = name.rfind('.');
  return dot == std::string::npos ? std::pair(std::string(), name) : std::pair(name.substr(0, dot), name.substr(dot + 1));
}

bool is_digit(char c) { return c >= '0' && c <= '9'; }

/// A name with "0" for each number in it, and these numbers.
std::pair<std::string, std::vector<std::uint64_t>> numbers_in(const std::string& name) {
  std::pair<std::string, std::vector<std::uint64_t>> result;
  for (std::size_t at = 0; at < name.size();) {
    if (!is_digit(name[at])) {
      result.first += name[at++];
      continue;
    }
    std::uint64_t number = std::numeric_limits<std::uint64_t>::max();
    const auto [end, error] = std::from_chars(name.data() + at, name.data() + name.size(), number);
    static_cast<void>(error);  // a number that is too large stays the largest
    at = static_cast<std::size_t>(end - name.data());
    result.first += '0';
    result.second.push_back(number);
  }
  return result;
}

std::string with_slashes(std::string name) {
  std::replace(name.begin(), name.end(), '.', '/');
  return name;
}

std::string quoted_names(const std::vector<std::string>& names) {
  constexpr std::size_t kShown = 20;
  std::string text;
  for (std::size_t i = 0; i < std::min(names.size(), kShown); ++i)
    text += core::format("{}'{}'", i == 0 ? "" : ", ", core::escaped(names[i], 64));
  return names.size() > kShown ? text + ", ..." : text;
}

/// The Linear layers' names. Throws for an array that such a layer does not have.
std::vector<std::string> modules_of(const Arrays& arrays, const Where& where) {
  std::set<std::string> modules;
  for (const auto& [name, array] : arrays) {
    const auto [module, kind] = module_and_kind(name);
    const int rank = kind == "weight" ? 2 : kind == "bias" ? 1 : -1;
    if (array.shape().rank() != rank)
      where.array(name).fail(ErrorCode::unsupported,
                             "got shape {}, allowed are weight (out, in) and bias (out,) of torch's Linear layers",
                             to_string(array.shape()));
    modules.insert(module);
  }
  return {modules.begin(), modules.end()};
}

/// The Linear layer for each Dense layer.
std::vector<std::string> in_order_of(const std::vector<const LayerInfo*>& dense, std::vector<std::string> modules,
                                     const Where& where) {
  std::vector<std::string> paths;
  for (const LayerInfo* layer : dense) paths.push_back(layer->path);
  if (modules.size() != dense.size())
    where.fail(ErrorCode::value, "got {} Linear layers ({}), the model has {} Dense layers ({})", modules.size(),
               quoted_names(modules), dense.size(), quoted_names(paths));
  std::vector<std::string> by_name;
  for (const std::string& path : paths) {
    const auto same =
        std::find_if(modules.begin(), modules.end(), [&](const std::string& module) { return with_slashes(module) == path; });
    if (same != modules.end()) by_name.push_back(*same);
  }
  if (by_name.size() == paths.size()) return by_name;
  for (const std::string& module : modules) {
    if (numbers_in(module).first != numbers_in(modules[0]).first)
      where.fail(ErrorCode::value,
                 "a file does not keep the order of its Linear layers, and {} differ in more than numbers; name the model's "
                 "Dense layers like them",
                 quoted_names(modules));
  }
  std::stable_sort(modules.begin(), modules.end(),
                   [](const std::string& a, const std::string& b) { return numbers_in(a).second < numbers_in(b).second; });
  return modules;
}

/// An array (out, in) as (in, out).
Tensor as_kernel(Tensor weight) {
  const Shape shape{weight.shape()[1], weight.shape()[0]};
  return core::npy_in_c_order(std::move(weight).reshaped(shape));  // the same elements in Fortran order
}

void move_weights(Arrays& arrays, const std::string& module, const LayerInfo& layer, Arrays& into, const Where& where) {
  for (const auto& [kind, wanted] : kLinearNames) {
    const std::string name = module.empty() ? kind : module + "." + kind;
    const auto given = arrays.find(name);
    const auto of_layer = std::find_if(layer.weights.begin(), layer.weights.end(),
                                       [weight = wanted](const auto& each) { return each.first == weight; });
    const bool is_given = given != arrays.end();
    if (is_given != (of_layer != layer.weights.end()))
      where.array(name).fail_sentence(ErrorCode::missing, "is {}, but Dense layer '{}' has {} {}", is_given ? "given" : "missing",
                                      core::escaped(layer.path), is_given ? "no" : "a", wanted);
    if (!is_given) continue;
    const Shape& shape = given->second.shape();
    const Shape& fits = of_layer->second.shape();
    const bool is_kernel = shape.rank() == 2;
    const Shape allowed = is_kernel && fits.rank() == 2 ? Shape{fits[1], fits[0]} : fits;
    if (shape != allowed)
      where.array(name).fail(ErrorCode::shape, "got shape {}, Dense layer '{}' takes {}", to_string(shape),
                             core::escaped(layer.path), to_string(allowed));
    into.emplace(layer.path + "/" + wanted, is_kernel ? as_kernel(std::move(given->second)) : std::move(given->second));
  }
}

bool are_torch(const Arrays& arrays) {
  const auto has_slash = [](const auto& each) { return each.first.find('/') != std::string::npos; };
  const auto is_of_linear = [](const auto& each) {
    const std::string kind = module_and_kind(each.first).second;
    return kind == "weight" || kind == "bias";
  };
  return std::none_of(arrays.begin(), arrays.end(), has_slash) && std::any_of(arrays.begin(), arrays.end(), is_of_linear);
}

}  // namespace

Arrays arrays_for(Arrays arrays, std::span<const LayerInfo> layers, const Where& where) {
  if (!are_torch(arrays)) return arrays;
  std::vector<const LayerInfo*> dense;
  for (const LayerInfo& layer : layers) {
    if (layer.class_name == "Dense") dense.push_back(&layer);
  }
  const std::vector<std::string> modules = in_order_of(dense, modules_of(arrays, where), where);
  Arrays result;
  for (std::size_t i = 0; i < dense.size(); ++i) move_weights(arrays, modules[i], *dense[i], result, where);
  return result;
}

}  // namespace lamella::keras
