// SPDX-License-Identifier: Apache-2.0
// Weights in the layout of Keras 1 and 2, and of Keras 3's .h5 files: a flat list for each layer of the outermost model.
#include <algorithm>
#include <cstring>
#include <iterator>
#include <map>
#include <set>

#include "core/format.hpp"
#include "keras/slots.hpp"
#include "keras/stored.hpp"
#include "keras/weights.hpp"

namespace lamella::keras {
namespace {

/// An expected weight, and the layer that it belongs to.
struct Slot {
  const core::LayerSpec* layer;
  std::string_view name;
};

/// The weights of a layer, trainable ones separate from the others.
struct Slots {
  std::vector<Slot> trainable;
  std::vector<Slot> frozen;

  void append(Slots&& more) {
    std::move(more.trainable.begin(), more.trainable.end(), std::back_inserter(trainable));
    std::move(more.frozen.begin(), more.frozen.end(), std::back_inserter(frozen));
  }
  void freeze(Slots&& more) {
    std::move(more.trainable.begin(), more.trainable.end(), std::back_inserter(frozen));
    std::move(more.frozen.begin(), more.frozen.end(), std::back_inserter(frozen));
  }
};

using Layers = std::set<const core::LayerSpec*>;

Slots own(const core::LayerSpec& layer) {
  Slots slots;
  for (const StoredWeight& weight : stored_weights(layer))
    (weight.trained ? slots.trainable : slots.frozen).push_back({&layer, weight.name});
  return slots;
}

/// Keras 2: each layer and each model lists its trainable weights first, and a frozen one has none.
Slots keras2_slots(const core::LayerSpec& layer, Layers& visited) {
  if (!visited.insert(&layer).second) return {};
  Slots slots = own(layer);
  if (const core::LayerSpec* inside = core::layer_inside(layer)) {
    Slots inner = keras2_slots(*inside, visited);
    !layer.trainable ? slots.freeze(std::move(inner)) : slots.append(std::move(inner));
  }
  if (const core::ModelSpec* nested = core::nested_model(layer)) {
    for (const auto& inner : nested->layers) slots.append(keras2_slots(*inner, visited));
  }
  if (layer.trainable) return slots;
  Slots frozen;
  frozen.freeze(std::move(slots));
  return frozen;
}

/// Keras 3: each weight has its own trainable flag; only the outermost layer's flag counts otherwise.
void keras3_walk(const core::LayerSpec& layer, bool frozen, Slots& into, Layers& visited) {
  if (!visited.insert(&layer).second) return;
  // A layer lists its trainable weights first, even if it is frozen.
  const std::vector<StoredWeight> weights = stored_weights(layer);
  for (const bool by_nature : {true, false}) {
    for (const StoredWeight& weight : weights) {
      if (weight.trained != by_nature) continue;
      (by_nature && layer.trainable && !frozen ? into.trainable : into.frozen).push_back({&layer, weight.name});
    }
  }
  if (const core::LayerSpec* inside = core::layer_inside(layer)) keras3_walk(*inside, frozen, into, visited);
  if (const core::ModelSpec* nested = core::nested_model(layer)) {
    for (const auto& inner : nested->layers) keras3_walk(*inner, frozen, into, visited);
  }
}

/// The weights of one layer of the outermost model in a Keras version's order.
std::vector<Slot> slots_of(const core::LayerSpec& layer, bool keras3) {
  Layers visited;
  Slots slots;
  if (keras3) {
    keras3_walk(layer, !layer.trainable, slots, visited);
  } else {
    slots = keras2_slots(layer, visited);
  }
  std::move(slots.frozen.begin(), slots.frozen.end(), std::back_inserter(slots.trainable));
  return std::move(slots.trainable);
}

std::vector<std::string> strings(const H5File& file, const std::string& path, const std::string& name, const Where& where) {
  if (auto whole = file.strings_attribute(path, name)) return *whole;
  std::vector<std::string> result;
  for (int part = 0;; ++part) {
    const auto chunk = file.strings_attribute(path, core::format("{}{}", name, part));
    if (!chunk) {
      if (part == 0) where.object(path).fail(ErrorCode::missing, "has no attribute '{}'", name);
      return result;
    }
    result.insert(result.end(), chunk->begin(), chunk->end());
  }
}

/// kernel + scale * A . B, row by row in float64, rounded once.
Tensor lora_product(const Tensor& kernel, const Tensor& a, const Tensor& b, double scale) {
  const Tensor right = b.to(DType::float64);
  const auto units = static_cast<std::size_t>(kernel.shape()[1]);
  const auto rank = static_cast<std::size_t>(a.shape()[1]);
  Tensor result(kernel.shape(), kernel.dtype());
  const auto row_of = [](const Tensor& matrix, std::int64_t row) {
    const std::size_t bytes = static_cast<std::size_t>(matrix.shape()[1]) * size_of(matrix.dtype());
    // Read only, although adopt() has no overload for const memory.
    auto* data = const_cast<std::byte*>(static_cast<const std::byte*>(matrix.data())) + static_cast<std::size_t>(row) * bytes;
    return Tensor::adopt(data, Shape{matrix.shape()[1]}, matrix.dtype(), Device::cpu(), nullptr).to(DType::float64);
  };
  std::vector<double> sums(units);
  for (std::int64_t i = 0; i < kernel.shape()[0]; ++i) {
    const Tensor left = row_of(a, i);
    Tensor row = row_of(kernel, i);
    std::fill(sums.begin(), sums.end(), 0.0);
    for (std::size_t j = 0; j < rank; ++j) {
      const double factor = left.span<double>()[j];
      const double* const from = right.span<double>().data() + j * units;
      for (std::size_t u = 0; u < units; ++u) sums[u] += factor * from[u];
    }
    for (std::size_t u = 0; u < units; ++u) row.span<double>()[u] += scale * sums[u];
    const Tensor rounded = row.to(kernel.dtype());
    std::memcpy(static_cast<std::byte*>(result.data()) + static_cast<std::size_t>(i) * rounded.bytes(), rounded.data(),
                rounded.bytes());
  }
  return result;
}

/// Limit on the multiplications for merging LoRA: small files can request very many.
class LoraWork {
 public:
  explicit LoraWork(std::uint64_t file_bytes) : left_(std::max(kLeast, kEachByte * file_bytes)), allowed_(left_) {}

  void charge(const Shape& kernel, std::int64_t rank, const Where& where) {
    const auto elements = static_cast<std::uint64_t>(kernel.elements());
    const auto each = static_cast<std::uint64_t>(std::max<std::int64_t>(rank, 1));
    if (elements > left_ / each) {
      where.fail(ErrorCode::limit,
                 "merging its LoRA matrices of rank {} into a kernel of {} takes the file past {} multiplications, the limit for "
                 "its size",
                 rank, to_string(kernel), allowed_);
    }
    left_ -= elements * each;
  }

 private:
  static constexpr std::uint64_t kLeast = std::uint64_t{1} << 30U;
  static constexpr std::uint64_t kEachByte = 4096;

  std::uint64_t left_;
  std::uint64_t allowed_;
};

/// Legacy files store LoRA separately: kernel + (alpha / rank) * A . B
H5Dataset merged(const H5Dataset& kernel, const H5Dataset& a, const H5Dataset& b, const core::LayerSpec& layer,
                 const Where& where, LoraWork& work) {
  const Where place = where.layer(layer.path);
  const double rank = a.shape.rank() == 2 ? static_cast<double>(a.shape[1]) : 0.0;
  const double alpha = std::get<core::DenseParams>(layer.params).lora_alpha.value_or(rank);
  const bool fits = rank > 0 && kernel.shape.rank() == 2 && a.shape.rank() == 2 && b.shape.rank() == 2 &&
                    a.shape[0] == kernel.shape[0] && b.shape[1] == kernel.shape[1] && a.shape[1] == b.shape[0] &&
                    is_floating(kernel.dtype) && is_floating(a.dtype) && is_floating(b.dtype);
  if (!fits) place.fail_sentence(ErrorCode::shape, "LoRA matrices do not fit its kernel");
  work.charge(kernel.shape, a.shape[1], place);
  const auto result = std::make_shared<Tensor>(lora_product(tensor_of(kernel), tensor_of(a), tensor_of(b), alpha / rank));
  return {
      kernel.dtype, kernel.shape, {result, Bytes(static_cast<const std::byte*>(std::as_const(*result).data()), result->bytes())}};
}

/// The weights of a Dense with LoRA, which Keras 3 writes in an order that depends on how it was frozen, so they are found by
/// name.
void fill_lora(Filling& filling, const core::LayerSpec& layer, const std::vector<std::string>& names,
               std::vector<H5Dataset> found, const Where& where, LoraWork& work) {
  const auto take = [&](std::string_view name) -> H5Dataset& {
    for (std::size_t i = 0; i < names.size(); ++i) {
      std::string_view last = std::string_view(names[i]).substr(names[i].rfind('/') + 1);
      if (last.substr(0, last.find(':')) == name) return found[i];
    }
    where.layer(layer.path).fail_sentence(ErrorCode::missing, "has LoRA but no weight '{}'", name);
  };
  H5Dataset kernel = merged(take("kernel"), take("lora_kernel_a"), take("lora_kernel_b"), layer, where, work);
  filling.store(layer, "kernel", std::move(kernel), where);
  if (std::get<core::DenseParams>(layer.params).use_bias) filling.store(layer, "bias", std::move(take("bias")), where);
}

struct Group {
  std::string path;
  std::vector<std::string> names;
};

/// The groups that hold weights, in order. `prefix` is the root's path with its slash.
std::vector<Group> groups_of(const H5File& file, const std::string& root, const Where& where) {
  const std::string prefix = root.empty() ? "" : root + "/";
  std::vector<Group> groups;
  for (const std::string& layer : strings(file, root.empty() ? "/" : root, "layer_names", where)) {
    Group group{prefix + layer, strings(file, prefix + layer, "weight_names", where)};
    if (!group.names.empty()) groups.push_back(std::move(group));
  }
  return groups;
}

/// The version that wrote the weights, which may differ from the one that wrote the config.
bool written_by_keras3(const H5File& file, const std::string& root) {
  auto version = file.string_attribute(root.empty() ? "/" : root, "keras_version");
  if (!version) version = file.string_attribute("/", "keras_version");
  return version && version->starts_with("3.");
}

/// Configs of Keras 2 do not record that a nested model is frozen, although the order depends on it: if the names in the file are
/// exactly those of the slots ("dense_1/kernel:0"), they decide.
std::vector<Slot> ordered_by_name(std::vector<Slot> slots, const std::vector<std::string>& names) {
  if (slots.size() != names.size()) return slots;
  std::map<std::string, const Slot*, std::less<>> known;
  for (const Slot& slot : slots) known[core::format("{}/{}", slot.layer->name, slot.name)] = &slot;
  std::vector<Slot> ordered;
  std::set<const Slot*> taken;
  for (const std::string& name : names) {
    const auto slot = known.find(std::string_view(name).substr(0, name.rfind(':')));
    if (slot == known.end() || !taken.insert(slot->second).second) return slots;
    ordered.push_back(*slot->second);
  }
  return ordered;
}

void fill_layer(Filling& filling, const core::LayerSpec& layer, const std::vector<Slot>& slots, const H5File& file,
                const Group& group, const Where& where, LoraWork& work) {
  const Where from = where.object(group.path);
  const auto* dense = std::get_if<core::DenseParams>(&layer.params);
  const bool lora = dense != nullptr && !dense->quantization && group.names.size() == slots.size() + 2;
  if (group.names.size() != slots.size() && !lora) {
    from.layer(layer.path)
        .fail_sentence(group.names.size() < slots.size() ? ErrorCode::missing : ErrorCode::shape,
                       "has {} weights in the file; it needs {}", group.names.size(), slots.size());
  }
  std::vector<H5Dataset> found;
  for (const std::string& name : group.names) found.push_back(file.dataset(group.path + "/" + name));
  if (lora) return fill_lora(filling, layer, group.names, std::move(found), from, work);
  for (std::size_t i = 0; i < slots.size(); ++i)
    filling.store(*slots[i].layer, slots[i].name, std::move(found[i]), from.entry(group.names[i]));
}

}  // namespace

std::shared_ptr<const core::ModelSpec> with_legacy_weights(const core::ModelSpec& model, const H5File& file,
                                                           const std::string& root, const Where& where) {
  const bool keras3 = written_by_keras3(file, root);
  const std::vector<Group> groups = groups_of(file, root, where);
  LoraWork work(file.size());
  Filling filling;
  std::size_t at = 0;
  for (const auto& layer : model.layers) {
    std::vector<Slot> slots = slots_of(*layer, keras3);
    const core::LayerSpec* const inside = core::layer_inside(*layer);
    const bool unsaved = inside != nullptr && at < groups.size() && groups[at].names.size() == stored_weights(*layer).size();
    if (unsaved && filling.replace_unsaved_prelu(*layer)) std::erase_if(slots, [&](const Slot& s) { return s.layer == inside; });
    if (slots.empty()) continue;
    if (at == groups.size()) {
      where.layer(layer->path).fail(ErrorCode::missing, "the file has weights for {} layers only", groups.size());
    }
    const Group& group = groups[at++];
    if (!keras3 && core::nested_model(*layer) != nullptr) slots = ordered_by_name(std::move(slots), group.names);
    fill_layer(filling, *layer, slots, file, group, where, work);
  }
  if (at != groups.size()) {
    where.object(groups[at].path)
        .fail(ErrorCode::shape, "weights are left over: the model has {} layers with weights, the file {}", at, groups.size());
  }
  return std::move(filling).done(model);
}

}  // namespace lamella::keras
