// SPDX-License-Identifier: Apache-2.0
// Functional configs: layers, calls of layers, inputs and outputs.
#include <algorithm>
#include <set>

#include "keras/calls.hpp"

namespace lamella::keras {
namespace {

struct Entry {
  std::shared_ptr<const core::LayerSpec> layer;
  std::vector<Call> calls;
  bool functional = false;  ///< a nested Functional
  bool model = false;       ///< any nested model
};

/// Reads one Functional model.
class FunctionalReader {
 public:
  FunctionalReader(const Json& config, std::string path, Reading& reading)
      : config_(config), path_(std::move(path)), reading_(reading) {}

  std::shared_ptr<const core::ModelSpec> read(const std::string& name) {
    spec_->name = name;
    spec_->class_name = "Functional";
    spec_->keras_version = reading_.keras_version;
    read_layers();
    number_calls();
    resolve();
    read_ends("input_layers", spec_->inputs, spec_->input_names);
    read_ends("output_layers", spec_->outputs, spec_->output_names);
    if (spec_->outputs.empty()) fail_model(ErrorCode::value, "has no outputs");
    check_inputs();
    return spec_;
  }

 private:
  template <typename... Args>
  [[noreturn]] void fail_model(ErrorCode code, core::FormatString<Args...> message, const Args&... args) const {
    reading_.where.model(spec_->name).fail(code, message, args...);
  }

  void read_layers() {
    const auto it = config_.find("layers");
    if (it == config_.end() || !it->is_array()) fail_model(ErrorCode::missing, "config has no list 'layers'");
    if (it->size() > kMostLayers) fail_model(ErrorCode::limit, "has {} layers, allowed 0..{}", it->size(), kMostLayers);
    for (const Json& object : *it) {
      if (!object.is_object()) fail_model(ErrorCode::json, "an entry of 'layers' is not an object");
      std::string name = object.value("name", std::string());
      if (name.empty() && object.contains("config") && object.at("config").is_object())
        name = object.at("config").value("name", std::string());
      if (name.empty()) fail_model(ErrorCode::missing, "an entry of 'layers' has no name");
      if (index_.contains(name)) fail_model(ErrorCode::value, "two layers are named '{}'", core::escaped(name));
      index_[name] = entries_.size();
      Entry entry;
      entry.model = is_model(object);
      entry.functional = entry.model && object.value("class_name", std::string()) != "Sequential";
      const std::string path = path_.empty() ? name : path_ + "/" + name;
      if (is_operation(object)) {
        read_operation_entry(object, path, entry);
      } else {
        entry.layer = read_any(object, path, reading_);
        CallsRead read = read_calls(object, name, core::nested_model(*entry.layer), reading_);
        entry.calls = std::move(read.calls);
        keras2_ = keras2_ || read.keras2;
      }
      spec_->layers.push_back(entry.layer);
      entries_.push_back(std::move(entry));
    }
  }

  void read_operation_entry(const Json& object, const std::string& path, Entry& entry) {
    Operation operation = read_operation(object, path, reading_);
    entry.layer = std::move(operation.layer);
    for (std::vector<Ref>& inputs : operation.inputs) entry.calls.push_back({std::move(inputs)});
    const auto nodes = object.find("inbound_nodes");
    if (nodes != object.end() && nodes->is_array() && !nodes->empty() && nodes->front().is_array()) keras2_ = true;
  }

  /// Keras 2 counts a nested model's own node as 0, so calls begin at 1.
  void number_calls() {
    if (!keras2_) return;
    for (Entry& entry : entries_) {
      for (Call& call : entry.calls) {
        for (Ref& ref : call.inputs) ref = shifted(ref);
      }
    }
  }
  Ref shifted(Ref ref) const {
    const auto it = index_.find(ref.layer);
    if (it != index_.end() && entries_[it->second].model) --ref.node;
    return ref;
  }
  /// In input_layers and output_layers Keras 3 counts calls of a nested Functional from 1 too.
  Ref boundary(Ref ref) const {
    const auto it = index_.find(ref.layer);
    if (it == index_.end()) return ref;
    const Entry& entry = entries_[it->second];
    if (keras2_ ? entry.model : entry.functional) --ref.node;
    return ref;
  }

  using CallKey = std::pair<std::size_t, std::size_t>;  // layer, call

  /// Orders calls so that each comes after its inputs: as written if that order works.
  void resolve() {
    for (std::size_t l = 0; l < entries_.size(); ++l) {
      if (std::holds_alternative<core::InputParams>(entries_[l].layer->params)) add_node({l, 0}, {});
    }
    std::vector<CallKey> waiting;
    for (std::size_t l = 0; l < entries_.size(); ++l) {
      if (std::holds_alternative<core::InputParams>(entries_[l].layer->params)) continue;
      for (std::size_t c = 0; c < entries_[l].calls.size(); ++c) {
        check_call({l, c});
        if (await_inputs({l, c})) {
          waiting.emplace_back(l, c);
        } else {
          add_with_followers({l, c});
        }
      }
    }
    for (const CallKey& call : waiting) {
      if (!nodes_.contains(call)) {
        reading_.where.layer(entries_[call.first].layer->path)
            .fail(ErrorCode::value, "its inputs can never be computed: the graph has a cycle");
      }
    }
  }

  void check_call(CallKey key) const {
    const Entry& entry = entries_[key.first];
    const std::vector<Ref>& inputs = entry.calls[key.second].inputs;
    const std::size_t given = inputs.size() - entry.calls[key.second].masks.size();
    if (given == 0) reading_.where.layer(entry.layer->path).fail(ErrorCode::value, "is called without inputs");
    if (const auto* model = core::nested_model(*entry.layer); model != nullptr && given != model->inputs.size()) {
      reading_.where.layer(entry.layer->path)
          .fail(ErrorCode::shape, "is called with {} inputs, it takes {}", given, model->inputs.size());
    }
    for (const Ref& ref : inputs) expect_ref(ref, entry.layer->path);
  }

  CallKey key_of(const Ref& ref) const { return {index_.at(ref.layer), static_cast<std::size_t>(ref.node)}; }

  /// True if an input is not available yet; the call is registered under each input that it waits for.
  bool await_inputs(CallKey call) {
    std::size_t missing = 0;
    for (const Ref& ref : entries_[call.first].calls[call.second].inputs) {
      const CallKey key = key_of(ref);
      if (nodes_.contains(key)) continue;
      followers_[key].push_back(call);
      ++missing;
    }
    if (missing != 0) missing_[call] = missing;
    return missing != 0;
  }

  /// Adds a call whose inputs are available, and then those that waited only for it.
  void add_with_followers(CallKey first) {
    std::vector<CallKey> ready{first};
    while (!ready.empty()) {
      const CallKey call = ready.back();
      ready.pop_back();
      std::vector<core::ValueRef> inputs;
      for (const Ref& ref : entries_[call.first].calls[call.second].inputs)
        inputs.push_back({nodes_.at(key_of(ref)), static_cast<int>(ref.tensor)});
      add_node(call, std::move(inputs));
      for (const CallKey& follower : followers_[call]) {
        if (--missing_.at(follower) == 0) ready.push_back(follower);
      }
    }
  }

  void add_node(CallKey call, std::vector<core::ValueRef> inputs) {
    nodes_[call] = static_cast<int>(spec_->nodes.size());
    core::NodeSpec& node = spec_->nodes.emplace_back();
    node.layer = static_cast<int>(call.first);
    node.inputs = std::move(inputs);
    const std::vector<Call>& calls = entries_[call.first].calls;
    if (call.second >= calls.size()) return;  // an InputLayer
    node.masks = calls[call.second].masks;
    node.says_masks = calls[call.second].says_masks;
  }

  void expect_ref(const Ref& ref, const std::string& from) const {
    const auto it = index_.find(ref.layer);
    if (it == index_.end())
      reading_.where.layer(from).fail(ErrorCode::missing, "refers to layer '{}', which does not exist", core::escaped(ref.layer));
    const Entry& entry = entries_[it->second];
    const bool input = std::holds_alternative<core::InputParams>(entry.layer->params);
    const auto calls = static_cast<std::int64_t>(input ? 1 : entry.calls.size());
    const core::ModelSpec* const model = core::nested_model(*entry.layer);
    const auto tensors = static_cast<std::int64_t>(model == nullptr ? 1 : model->outputs.size());
    if (ref.node < 0 || ref.node >= calls || ref.tensor < 0 || ref.tensor >= tensors) {
      reading_.where.layer(from).fail(ErrorCode::value,
                                      "refers to call {}, result {} of layer '{}', which has {} calls with {} results", ref.node,
                                      ref.tensor, core::escaped(ref.layer), calls, tensors);
    }
  }

  core::ValueRef value(const Ref& ref) const {
    expect_ref(ref, spec_->name);
    return {nodes_.at({index_.at(ref.layer), static_cast<std::size_t>(ref.node)}), static_cast<int>(ref.tensor)};
  }

  /// The model's inputs or outputs: a leaf, or lists and dicts of them, which Keras flattens with keys in order. Each is named by
  /// its key, else by the layer that makes it; a name that is taken gets a number.
  void read_ends(const char* key, std::vector<core::ValueRef>& values, std::vector<std::string>& names) const {
    const auto it = config_.find(key);
    if (it == config_.end()) fail_model(ErrorCode::missing, "config has no '{}'", key);
    std::set<std::string> taken;
    std::map<std::string, int> next;  // number to try for a name that is taken
    const auto walk = [&](const auto& self, const Json& item, const std::string& called) -> void {
      if (is_ref(item)) {
        values.push_back(value(boundary(ref_of(item, key, reading_))));
        const auto node = static_cast<std::size_t>(values.back().node);
        const std::string& layer = spec_->layers[static_cast<std::size_t>(spec_->nodes[node].layer)]->name;
        const std::string& base = called.empty() ? layer : called;
        std::string name = base;
        for (int& n = next[base]; !taken.insert(name).second;) name = core::format("{}_{}", base, ++n);
        names.push_back(name);
      } else if (item.is_array()) {
        for (const Json& inner : item) self(self, inner, called);
      } else if (item.is_object()) {
        for (const auto& inner : item.items()) self(self, inner.value(), inner.key());
      } else {
        fail_model(ErrorCode::json, "'{}' is not a list of [name, node, tensor]", key);
      }
    };
    walk(walk, *it, std::string());
  }

  void check_inputs() const {
    std::set<int> given;
    for (const core::ValueRef& ref : spec_->inputs) {
      const auto& layer = *spec_->layers[static_cast<std::size_t>(spec_->nodes[static_cast<std::size_t>(ref.node)].layer)];
      if (!std::holds_alternative<core::InputParams>(layer.params)) {
        reading_.where.layer(layer.path).fail(ErrorCode::value, "is listed as an input of the model but is not an InputLayer");
      }
      if (!given.insert(ref.node).second) reading_.where.layer(layer.path).fail(ErrorCode::value, "is listed as an input twice");
    }
    for (std::size_t n = 0; n < spec_->nodes.size(); ++n) {
      const auto& layer = *spec_->layers[static_cast<std::size_t>(spec_->nodes[n].layer)];
      if (std::holds_alternative<core::InputParams>(layer.params) && !given.contains(static_cast<int>(n))) {
        reading_.where.layer(layer.path).fail(ErrorCode::value, "is an InputLayer but not among the model's inputs");
      }
    }
  }

  const Json& config_;
  std::string path_;
  Reading& reading_;
  std::shared_ptr<core::ModelSpec> spec_ = std::make_shared<core::ModelSpec>();
  std::vector<Entry> entries_;
  std::map<std::string, std::size_t> index_;
  std::map<CallKey, int> nodes_;
  std::map<CallKey, std::vector<CallKey>> followers_;  ///< waiting calls by the input that they wait for, once per input
  std::map<CallKey, std::size_t> missing_;             ///< the number of inputs that a call waits for
  bool keras2_ = false;
};

}  // namespace

std::shared_ptr<const core::ModelSpec> read_functional(const Json& config, const std::string& name, const std::string& path,
                                                       Reading& reading) {
  return FunctionalReader(config, path, reading).read(name);
}

}  // namespace lamella::keras
