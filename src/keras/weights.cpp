// SPDX-License-Identifier: Apache-2.0
#include "keras/weights.hpp"

#include <algorithm>
#include <map>
#include <set>

#include "core/format.hpp"
#include "keras/quantized.hpp"
#include "keras/slots.hpp"
#include "keras/stored.hpp"

namespace lamella::keras {
namespace {

/// The shape of a weight implied by the layer's config; -1 where it depends on the input.
std::vector<std::int64_t> expected_shape(const core::LayerSpec& layer, std::string_view name) {
  if (const auto* dense = std::get_if<core::DenseParams>(&layer.params)) return expected_of(*dense, name).shape;
  if (std::holds_alternative<core::BatchNormalizationParams>(layer.params)) return {-1};
  if (std::holds_alternative<core::DiscretizationParams>(layer.params)) return {2, -1};
  if (const auto* table = std::get_if<core::EmbeddingParams>(&layer.params)) return {table->rows, table->width};
  return {-2};  // anything
}

}  // namespace

Tensor tensor_of(H5Dataset dataset) {
  // The bytes are read-only by convention: weights are handed out as const only.
  auto* data = const_cast<std::byte*>(dataset.bytes.bytes.data());
  return Tensor::adopt(data, dataset.shape, dataset.dtype, Device::cpu(), std::move(dataset.bytes.owner));
}

core::LayerSpec& Filling::copy_of(const core::LayerSpec& layer) {
  return changes_.copy_of(layer, [](core::LayerSpec& copy) {
    if (!stored_weights(copy).empty()) copy.weights.clear();
  });
}

void Filling::store(const core::LayerSpec& layer, std::string_view name, H5Dataset dataset, const Where& where) {
  if (name == "count") return;
  const auto place = [&] { return where.layer(layer.path).weight(name); };
  const auto* dense = std::get_if<core::DenseParams>(&layer.params);
  const std::vector<DType> types = dense == nullptr ? std::vector<DType>{} : expected_of(*dense, name).types;
  if (types.empty() ? !is_floating(dataset.dtype) : std::find(types.begin(), types.end(), dataset.dtype) == types.end()) {
    std::string allowed;
    for (const DType type : types) allowed += core::format("{}{}", allowed.empty() ? "" : ", ", to_string(type));
    place().fail(ErrorCode::dtype, "got {}, allowed {}", to_string(dataset.dtype), types.empty() ? "floating types" : allowed);
  }
  const std::vector<std::int64_t> wanted = expected_shape(layer, name);
  const auto found = dataset.shape.extents();
  const bool fits =
      wanted == std::vector<std::int64_t>{-2} || std::equal(found.begin(), found.end(), wanted.begin(), wanted.end(),
                                                            [](std::int64_t f, std::int64_t w) { return w == -1 || f == w; });
  if (!fits) {
    std::string text;
    for (const std::int64_t extent : wanted)
      text += core::format("{}{}", text.empty() ? "" : ", ", extent < 0 ? "any" : core::format("{}", extent));
    place().fail(ErrorCode::shape, "got shape {}, allowed ({})", to_string(dataset.shape), text);
  }
  std::vector<core::Weight>& weights = copy_of(layer).weights;
  const bool known = std::any_of(weights.begin(), weights.end(), [&](const core::Weight& w) { return w.name == name; });
  if (!known) weights.push_back({std::string(name), std::make_shared<const Tensor>(tensor_of(std::move(dataset)))});
}

/// Keras 3 does not store the weight of a PReLU used as a Dense's activation, and initialises alpha again when it loads the file.
/// If that is 0, PReLU is ReLU; else the missing weight is an error.
bool Filling::replace_unsaved_prelu(const core::LayerSpec& layer) {
  const core::LayerSpec* const inside = core::layer_inside(layer);
  const auto* prelu = inside == nullptr ? nullptr : std::get_if<core::PReluParams>(&inside->params);
  if (prelu == nullptr || !prelu->starts_at_zero) return false;
  return std::visit(
      [](auto& params) {
        if constexpr (requires { params.activation_layer; }) {
          params.activation_layer = nullptr;
          params.activation = {.kind = ActivationKind::Relu};
          return true;
        }
        return false;
      },
      copy_of(layer).params);
}

namespace {

/// How the suffixes of equal names were counted.
enum class Numbering {
  each,    ///< Keras 3: every entry of `layers` takes one
  unseen,  ///< Keras 2.14 and later: entries that were saved elsewhere take none
  twice,   ///< Keras 2.12 and 2.13: layers with weights take two
};

class Filler {
 public:
  explicit Filler(const WeightSource& source) : source_(source) {
    if (has_group("layers") || has_group(kOldContainer)) return;
    for (std::string& name : source_.children("")) {
      if (name.starts_with("layers\\") || name.starts_with(kOldContainer + std::string("\\"))) separator_ = '\\';
      top_.insert(std::move(name));
    }
  }

  std::shared_ptr<const core::ModelSpec> filled(const core::ModelSpec& whole) && {
    model(whole, "");
    return std::move(filling_).done(whole);
  }

 private:
  void model(const core::ModelSpec& model, const std::string& path) {
    const std::string prefix = path.empty() ? path : path + separator_;
    const bool old = !has_container(prefix + "layers") && has_container(prefix + kOldContainer);
    const std::string base = prefix + (old ? kOldContainer : "layers") + separator_;
    const std::vector<std::string> paths = paths_of(model, base, old);
    for (std::size_t i = 0; i < paths.size(); ++i) fill(*model.layers[i], paths[i]);
  }

  static constexpr const char* kOldContainer = "_layer_checkpoint_dependencies";

  // Keras 2 on Windows joined names by backslashes: "layers\dense" is one top-level group that contains only "vars".
  [[nodiscard]] bool has_group(const std::string& path) const {
    return separator_ == '/' ? source_.has_group(path) : top_.contains(path);
  }
  [[nodiscard]] bool has_container(const std::string& path) const {
    if (separator_ == '/') return source_.has_group(path);
    const auto first = top_.lower_bound(path + separator_);
    return first != top_.end() && first->starts_with(path + separator_);
  }

  /// The paths of the layers' groups; empty for the InputLayer of a Sequential, which has none. The existing groups show how the
  /// file counted.
  [[nodiscard]] std::vector<std::string> paths_of(const core::ModelSpec& model, const std::string& base, bool old) {
    for (const Numbering numbering : {Numbering::each, Numbering::unseen, Numbering::twice}) {
      if (!old && numbering == Numbering::twice) continue;
      std::vector<std::string> paths = numbered(model, base, numbering);
      const auto there = [&](std::size_t i) {
        const core::LayerSpec* layer = model.layers[i].get();
        // Later versions may omit empty groups.
        return paths[i].empty() || visited_.contains(layer) || (!old && !has_weights(*layer)) || has_group(paths[i]);
      };
      bool fits = true;
      for (std::size_t i = 0; fits && i < paths.size(); ++i) fits = there(i);
      if (fits) return paths;
    }
    return numbered(model, base, old ? Numbering::twice : Numbering::each);
  }

  [[nodiscard]] std::vector<std::string> numbered(const core::ModelSpec& model, const std::string& base, Numbering numbering) {
    std::map<std::string, int> taken;
    std::vector<std::string> paths;
    for (const auto& layer : model.layers) {
      paths.emplace_back();
      if (model.class_name == "Sequential" && std::holds_alternative<core::InputParams>(layer->params)) continue;
      const std::string key = archive_key(*layer);
      int& number = taken[key];
      paths.back() = base + key + (number == 0 ? "" : core::format("_{}", number));
      if (numbering == Numbering::unseen && visited_.contains(layer.get())) continue;
      number += numbering == Numbering::twice && has_weights(*layer) ? 2 : 1;
    }
    return paths;
  }

  bool has_weights(const core::LayerSpec& layer) {
    if (!stored_weights(layer).empty()) return true;
    if (std::holds_alternative<core::TimeDistributedParams>(layer.params)) return has_weights(*core::layer_inside(layer));
    const core::ModelSpec* const nested = core::nested_model(layer);
    if (nested == nullptr) return false;
    const auto [known, fresh] = has_weights_.try_emplace(&layer, false);
    if (!fresh) return known->second;
    return has_weights_[&layer] =
               std::any_of(nested->layers.begin(), nested->layers.end(), [&](const auto& one) { return has_weights(*one); });
  }

  void fill(const core::LayerSpec& layer, const std::string& path) {
    if (path.empty()) return;
    if (!visited_.insert(&layer).second) return;  // a shared layer's weights are stored where it occurs first
    if (const core::ModelSpec* nested = core::nested_model(layer)) return model(*nested, path);
    if (const core::LayerSpec* inside = core::layer_inside(layer)) fill_inside(layer, *inside, path);
    fill_vocabulary(layer, path);
    std::vector<StoredWeight> wanted = stored_weights(layer);
    if (wanted.empty()) return;
    const std::string vars = path + "/vars";
    const auto place = [&] { return source_.where.object(vars).layer(layer.path); };
    if (!source_.has_group(vars))
      place().fail_sentence(ErrorCode::missing, "has no weights in the file; it needs {}", listed(wanted));
    const std::size_t found = source_.children(vars).size();
    forget_lost_zeros(layer, wanted, found, source_.where.object(vars));
    if (found != wanted.size()) {
      place().fail_sentence(found < wanted.size() ? ErrorCode::missing : ErrorCode::shape,
                            "has {} weights in the file; it needs {} ({})", found, wanted.size(), listed(wanted));
    }
    for (std::size_t i = 0; i < wanted.size(); ++i) {
      const std::string at = core::format("{}/{}", vars, i);
      filling_.store(layer, wanted[i].name, source_.dataset(at), source_.where.object(at));
    }
  }

  void fill_inside(const core::LayerSpec& layer, const core::LayerSpec& inside, const std::string& path) {
    const std::string place = core::format("{}{}{}", path, separator_, inner_key(layer));
    const std::string vars = place + "/vars";
    const bool saved = source_.has_group(vars) && !source_.children(vars).empty();
    if (saved || !filling_.replace_unsaved_prelu(layer)) fill(inside, place);
  }

  void fill_vocabulary(const core::LayerSpec& layer, const std::string& path) {
    const auto* lookup = std::get_if<core::IntegerLookupParams>(&layer.params);
    if (lookup == nullptr || lookup->keys) return;
    std::string name = "assets/" + path + "/vocabulary.txt";
    std::replace(name.begin(), name.end(), '\\', '/');
    const auto fail = [&](ErrorCode code, const std::string& what) {
      source_.where.layer(layer.path).fail_sentence(code, "vocabulary {}", what);
    };
    const std::optional<OwnedBytes> text = source_.asset ? source_.asset(name) : std::nullopt;
    if (!text) fail(ErrorCode::missing, core::format("is in neither the config nor '{}'", core::escaped(name)));
    const std::vector<std::int64_t> words = read_vocabulary(text->bytes, fail);
    if (words.empty()) fail(ErrorCode::value, core::format("'{}' is empty", core::escaped(name)));
    set_vocabulary(std::get<core::IntegerLookupParams>(filling_.copy_of(layer).params), words, fail);
  }

  static std::string listed(const std::vector<StoredWeight>& weights) {
    std::string text;
    for (const StoredWeight& weight : weights) text += core::format("{}{}", text.empty() ? "" : ", ", weight.name);
    return text;
  }

  const WeightSource& source_;
  Filling filling_;
  char separator_ = '/';
  std::set<std::string> top_;  ///< the top group's members if names are joined by backslashes
  std::set<const core::LayerSpec*> visited_;
  std::map<const core::LayerSpec*, bool> has_weights_;
};

}  // namespace

std::shared_ptr<const core::ModelSpec> with_weights(const core::ModelSpec& model, const WeightSource& source) {
  return Filler(source).filled(model);
}

}  // namespace lamella::keras
