// SPDX-License-Identifier: Apache-2.0
#include "config.hpp"

#include <algorithm>
#include <filesystem>

#include "failure.hpp"

namespace lamella::triton {
namespace {

using Extents = std::vector<std::int64_t>;

const Json& list_at(const Json& config, const char* key) {
  static const Json none = Json::array();
  const auto found = config.find(key);
  return found == config.end() ? none : *found;
}

std::int64_t most_rows_of(const Json& config) { return config.value("max_batch_size", std::int64_t{0}); }

/// The extents that the backend sees of a configured input or output.
Extents extents_of(const Json& port) {
  const auto reshape = port.find("reshape");
  return reshape == port.end() ? port.value("dims", Extents{}) : reshape->value("shape", Extents{});
}

/// The extents of a sample; of a batch, if Triton does not batch.
Extents expected_extents(const Port& port, std::int64_t most_rows) {
  Extents extents = port.sample;
  if (most_rows == 0) extents.insert(extents.begin(), -1);
  return extents;
}

Json described(const std::vector<Port>& ports, std::int64_t most_rows) {
  Json list = Json::array();
  for (const Port& port : ports) {
    const Extents extents = expected_extents(port, most_rows);
    Json entry{{"name", port.name}, {"data_type", "TYPE_" + std::string(port.type.name)}, {"dims", extents}};
    if (extents.empty()) {  // Triton's dims must not be empty
      entry["dims"] = Extents{1};
      entry["reshape"] = {{"shape", Json::array()}};
    }
    list.push_back(std::move(entry));
  }
  return list;
}

const Port* find(const std::vector<Port>& ports, const std::string& name) {
  const auto found = std::find_if(ports.begin(), ports.end(), [&](const Port& port) { return port.name == name; });
  return found == ports.end() ? nullptr : &*found;
}

std::string names_of(const std::vector<Port>& ports) {
  std::string names;
  for (const Port& port : ports) names += (names.empty() ? "'" : ", '") + port.name + "'";
  return names;
}

void expect_port(const Json& entry, const std::string& kind, const std::vector<Port>& ports, std::int64_t most_rows) {
  const auto name = entry.value("name", std::string());
  const std::string where = kind + " '" + name + "': ";
  const Port* const port = find(ports, name);
  if (port == nullptr) refuse(where + "the model has none of that name; there are: " + names_of(ports));
  const auto type = entry.value("data_type", std::string());
  const std::string right = "TYPE_" + std::string(port->type.name);
  if (type != right) refuse(where + "data_type: got " + type + ", the model has " + right);
  for (const char* const flag : {"optional", "allow_ragged_batch", "is_shape_tensor"}) {
    if (entry.value(flag, false)) refuse(where + flag + ": got true, allowed false");
  }
  const Extents dims = extents_of(entry);
  const Extents expected = expected_extents(*port, most_rows);
  const bool fits = std::equal(dims.begin(), dims.end(), expected.begin(), expected.end(),
                               [](std::int64_t dim, std::int64_t of_model) { return of_model == -1 || dim == of_model; });
  if (!fits) {
    refuse(where + "dims: got " + text_of(dims) + ", the model has " + text_of(expected) + " with max_batch_size " +
           std::to_string(most_rows));
  }
}

}  // namespace

std::string model_file(const Json& config, const std::string& folder) {
  // A model without a config.pbtxt is a folder NAME.lamella; the server then fills in this name itself.
  const auto named = config.value("default_model_filename", std::string());
  std::vector<std::string> names{"model.keras", "model.h5"};
  if (named == "model.lamella") {
    names.push_back(named);
  } else if (!named.empty()) {
    names = {named};
  }
  std::vector<std::string> found;
  std::string looked_for;
  for (const std::string& name : names) {
    if (std::filesystem::exists(std::filesystem::path(folder) / name)) found.push_back(name);
    looked_for += (looked_for.empty() ? "" : ", ") + name;
  }
  if (found.empty()) throw Failure(TRITONSERVER_ERROR_NOT_FOUND, folder + ": no model file; looked for: " + looked_for);
  if (found.size() > 1) {
    refuse(folder + ": " + found[0] + " and " + found[1] +
           " are both there; allowed is one, or that default_model_filename names one");
  }
  return (std::filesystem::path(folder) / found[0]).string();
}

Options options_of(const Json& config) {
  Options options;
  const auto parameters = config.find("parameters");
  if (parameters == config.end()) return options;
  for (const auto& [name, value] : parameters->items()) {
    if (name == "device") refuse("parameter 'device': not allowed; instance_group says where a model runs");
    options.emplace_back(name, value.value("string_value", std::string()));
  }
  return options;
}

Json completed(Json config, const Ports& ports, std::int64_t most_rows) {
  const Json& inputs = list_at(config, "input");
  const Port* const first = inputs.empty() ? nullptr : find(ports.inputs, inputs[0].value("name", std::string()));
  // A model whose configured inputs include the batch is served without Triton's batching.
  const bool with_batch = first != nullptr && extents_of(inputs[0]).size() == first->sample.size() + 1;
  if (most_rows_of(config) == 0 && !with_batch) config["max_batch_size"] = most_rows;
  const std::int64_t rows = most_rows_of(config);
  if (list_at(config, "input").empty()) config["input"] = described(ports.inputs, rows);
  if (list_at(config, "output").empty()) config["output"] = described(ports.outputs, rows);
  const bool scheduled = config.contains("dynamic_batching") || config.contains("sequence_batching");
  if (rows > 1 && !scheduled) config["dynamic_batching"] = Json::object();
  return config;
}

void expect_agreement(const Json& config, const Ports& ports) {
  const std::int64_t most_rows = most_rows_of(config);
  for (const Json& entry : list_at(config, "input")) expect_port(entry, "input", ports.inputs, most_rows);
  for (const Json& entry : list_at(config, "output")) expect_port(entry, "output", ports.outputs, most_rows);
  for (const Port& port : ports.inputs) {
    const Json& list = list_at(config, "input");
    const bool configured =
        std::any_of(list.begin(), list.end(), [&](const Json& entry) { return entry.value("name", "") == port.name; });
    if (!configured) refuse("input '" + port.name + "': missing in the configuration; the model needs " + names_of(ports.inputs));
  }
}

}  // namespace lamella::triton
