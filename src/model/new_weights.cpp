// SPDX-License-Identifier: Apache-2.0
// Makes a model with other weights from the caller's memory.
#include <set>

#include "core/float_environment.hpp"
#include "core/layer_changes.hpp"
#include "model/impl.hpp"

namespace lamella::model {
namespace {

using TensorPtr = std::shared_ptr<const Tensor>;

/// Calls use(layer, path) for every layer that has weights; those of an activation that is a layer are under its owner's path.
template <typename F>
void each_with_weights(const core::LayerSpec& layer, const std::string& path, const F& use) {
  if (!has_given_statistics(layer)) use(layer, path);
  if (const core::ModelSpec* nested = core::nested_model(layer)) {
    for (const auto& of : nested->layers) each_with_weights(*of, of->path, use);
  }
  if (const core::LayerSpec* inside = core::layer_inside(layer)) {
    const bool wrapped = std::holds_alternative<core::TimeDistributedParams>(layer.params);
    each_with_weights(*inside, wrapped ? inside->path : path, use);
  }
}

/// The weights of a model by "path/name". Several have one name if paths collide; a layer that occurs twice has one set.
std::map<std::string, std::set<TensorPtr>> weights_by_name(const core::ModelSpec& spec) {
  std::map<std::string, std::set<TensorPtr>> result;
  for (const auto& layer : spec.layers) {
    each_with_weights(*layer, layer->path, [&](const core::LayerSpec& of, const std::string& path) {
      for (const core::Weight& weight : of.weights) result[path + "/" + weight.name].insert(weight.value);
    });
  }
  return result;
}

void expect_fits(const Tensor& old, const TensorView& value, const std::string& name, std::string_view caller, Device device) {
  const auto where = [&] { return core::format("[Model::{}] '{}': ", caller, core::escaped(name)); };
  LAMELLA_EXPECTS(core::is_host(value.device()) || value.device() == device, device,
                  "{}its elements are on {}, allowed is {}; Tensor::to(Device::cpu()) copies them to the host", where(),
                  to_string(value.device()),
                  core::is_host(device) ? "host memory" : core::format("host memory, or memory of {}", to_string(device)));
  LAMELLA_EXPECTS(value.shape() == old.shape(), shape, "{}got shape {}, allowed {}", where(), to_string(value.shape()),
                  to_string(old.shape()));
  const bool converts = is_floating(old.dtype()) && is_floating(value.dtype());
  LAMELLA_EXPECTS(converts || value.dtype() == old.dtype(), dtype, "{}got {}, allowed {}", where(), to_string(value.dtype()),
                  is_floating(old.dtype()) ? "floating types" : to_string(old.dtype()));
}

/// Calls use(weight, value) for each value, which fits. Throws as expect_values() does.
template <typename F>
void each_value(const core::ModelSpec& spec, const std::map<std::string, TensorView>& values, std::string_view caller,
                Device device, const F& use) {
  const auto known = weights_by_name(spec);
  for (const auto& [name, value] : values) {
    const auto found = known.find(name);
    if (found == known.end()) {
      std::string names;
      for (const auto& [other, tensors] : known)
        names += core::format("{}{}'", names.empty() ? "'" : ", '", core::escaped(other));
      core::throw_argument(ErrorCode::value, core::format("[Model::{}] no weight is named '{}'; known: {}", caller,
                                                          core::escaped(name), names.empty() ? "none" : names));
    }
    LAMELLA_EXPECTS(found->second.size() == 1, value, "[Model::{}] {} weights are named '{}'", caller, found->second.size(),
                    core::escaped(name));
    expect_fits(**found->second.begin(), value, name, caller, device);
    use(*found->second.begin(), value);
  }
}

/// `spec` with the Tensors `replaced` in all the layers that have them.
std::shared_ptr<const core::ModelSpec> with_replaced(const core::ModelSpec& spec,
                                                     const std::map<TensorPtr, TensorPtr>& replaced) {
  core::LayerChanges changes;
  for (const auto& layer : spec.layers) {
    each_with_weights(*layer, layer->path, [&](const core::LayerSpec& of, const std::string&) {
      for (std::size_t i = 0; i < of.weights.size(); ++i) {
        const auto now = replaced.find(of.weights[i].value);
        if (now != replaced.end()) changes.copy_of(of).weights[i].value = now->second;
      }
    });
  }
  return std::move(changes).apply_to(spec);
}

}  // namespace

void expect_values(const core::ModelSpec& spec, const std::map<std::string, TensorView>& values, std::string_view caller,
                   Device device) {
  each_value(spec, values, caller, device, [](const TensorPtr&, const TensorView&) {});
}

NewWeights with_values(const core::ModelSpec& spec, const std::map<std::string, TensorView>& values, std::string_view caller) {
  NewWeights result;
  each_value(spec, values, caller, Device::cpu(), [&](const TensorPtr& old, const TensorView& value) {
    result.replaced[old] = std::make_shared<const Tensor>(Tensor::copy_of(value).to(old->dtype()));
  });
  result.spec = with_replaced(spec, result.replaced);
  return result;
}

std::shared_ptr<const core::ModelSpec> with_own_weights(const core::ModelSpec& spec) {
  std::map<TensorPtr, TensorPtr> copies;
  for (const auto& layer : spec.layers) {
    each_with_weights(*layer, layer->path, [&](const core::LayerSpec& of, const std::string&) {
      for (const core::Weight& weight : of.weights) {
        TensorPtr& copy = copies[weight.value];
        if (!copy) copy = std::make_shared<const Tensor>(weight.value->clone());
      }
    });
  }
  return with_replaced(spec, copies);
}

}  // namespace lamella::model

namespace lamella {

Model Model::with_weights(const std::map<std::string, TensorView>& weights) const {
  const core::FloatEnvironment environment;
  const auto reading = impl_->reading();
  auto changed = model::with_values(*impl_->spec, weights, "with_weights");
  return Model(std::make_shared<const Impl>(std::move(changed.spec), impl_->options, impl_->pool, impl_->budget));
}

}  // namespace lamella
