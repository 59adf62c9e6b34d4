// SPDX-License-Identifier: Apache-2.0
#include <algorithm>
#include <cstring>
#include <string>
#include <tuple>
#include <utility>

#include <nanobind/stl/filesystem.h>
#include <nanobind/stl/map.h>
#include <nanobind/stl/optional.h>
#include <nanobind/stl/string.h>
#include <nanobind/stl/tuple.h>
#include <nanobind/stl/vector.h>

#include "arguments.hpp"
#include "arrays.hpp"

namespace lamella::python {

bool ArrayInfo::is_open() const {
  return std::any_of(sample.begin(), sample.end(), [](std::int64_t extent) { return extent < 0; });
}

Loaded::Loaded(Model made) : model(std::move(made)) {
  const auto cost_of = [this](const ArrayInfo& info) {
    double elements = 8;
    for (const std::int64_t extent : info.sample) elements *= static_cast<double>(std::max<std::int64_t>(extent, 1));
    row_cost += elements;
    return info;
  };
  for (std::size_t i = 0; i < model.input_names().size(); ++i)
    inputs.push_back(cost_of({model.input_shape(static_cast<int>(i)), model.input_dtype(static_cast<int>(i))}));
  for (std::size_t i = 0; i < model.output_names().size(); ++i)
    outputs.push_back(cost_of({model.output_shape(static_cast<int>(i)), model.output_dtype(static_cast<int>(i))}));
  row_cost += static_cast<double>(model.count_params());
}

namespace {

PyModel load_bytes(const nb::bytes& file, const Options& options) {
  const nb::gil_scoped_release released;
  const std::span content(static_cast<const std::byte*>(file.data()), file.size());
  return {std::make_shared<const Loaded>(Model::load(content, options))};
}

using Extents = std::optional<std::vector<std::int64_t>>;

PyModel load_path(const std::string& path, const Options& options, const Extents& input_shape) {
  const nb::gil_scoped_release released;
  return {
      std::make_shared<const Loaded>(input_shape ? load_with_shape(path, *input_shape, options) : Model::load(path, options))};
}

/// False if the shape of a row's result varies, NumPy lacks its dtype, or the memory is on another device.
bool is_made_by_numpy(const Loaded& loaded) {
  return loaded.model.device().is_cpu() && std::none_of(loaded.outputs.begin(), loaded.outputs.end(), [](const ArrayInfo& info) {
           return info.is_open() || info.dtype == DType::bfloat16;
         });
}

/// The result, for one array in and one out that need no conversion; else null.
nb::object call_at_once(const PyModel& self, nb::handle x) {
  const std::shared_ptr<const Loaded> loaded = self.loaded;
  if (loaded->inputs.size() != 1 || loaded->outputs.size() != 1 || !is_plain(x) || !is_made_by_numpy(*loaded)) return {};
  const auto in = HostArray::of(x, false);
  if (!in || in->dtype() != loaded->inputs.front().dtype) return {};
  nb::object result = empty_numpy(in->rows(), loaded->outputs.front());
  const auto out = HostArray::of(result, true);
  if (!out) return {};
  const TensorView src = in->view();
  const MutableTensorView dst = out->mutable_view();
  without_gil(*loaded, in->rows(), [&](const std::stop_token& stop) { loaded->model.predict_into({&src, 1}, {&dst, 1}, stop); });
  return result;
}

/// x in the form that the model takes; `converted` owns copies, if any were needed.
TensorView of_dtype(const TensorView& x, DType wanted, std::vector<Tensor>& converted) {
  if (x.dtype() == wanted) return x;
  converted.push_back(Tensor::copy_of(x).to(wanted));
  return std::as_const(converted.back()).view();
}

[[noreturn]] void refuse_output(const std::string& name, const std::string& why) {
  throw ArgumentError(ErrorCode::argument, "out: the array for output '" + printable(name) + "' " + why);
}

MutableTensorView writable(const std::string& name, nb::handle out) {
  const auto array = HostArray::of(out, true);
  if (!array) refuse_output(name, "is not a writable C-contiguous NumPy array of native byte order");
  return array->mutable_view();
}

void write_into(const Loaded& loaded, const std::vector<TensorView>& inputs, const std::vector<nb::object>& outs,
                std::int64_t rows) {
  std::vector<MutableTensorView> targets;
  for (std::size_t i = 0; i < outs.size(); ++i) targets.push_back(writable(loaded.model.output_names()[i], outs[i]));
  without_gil(loaded, rows, [&](const std::stop_token& stop) {
    std::vector<Tensor> converted;
    std::vector<TensorView> sources;
    for (std::size_t i = 0; i < inputs.size(); ++i)
      sources.push_back(i < loaded.inputs.size() ? of_dtype(inputs[i], loaded.inputs[i].dtype, converted) : inputs[i]);
    loaded.model.predict_into(sources, targets, stop);
  });
}

void copy_into(const std::string& name, nb::handle out, Tensor result) {
  if (result.dtype() == DType::bfloat16) result = result.to(DType::float32);
  const MutableTensorView target = writable(name, out);
  if (target.dtype() != result.dtype() || target.shape() != result.shape())
    refuse_output(name, "is " + std::string(to_string(target.dtype())) + " " + to_string(target.shape()) + ", the result is " +
                            std::string(to_string(result.dtype())) + " " + to_string(result.shape()));
  if (result.bytes() != 0) std::memcpy(target.data(), std::as_const(result).data(), result.bytes());
}

/// NumPy arrays in and out, in the model's order; `outs`, if given, are written to and returned.
std::vector<nb::object> run(const PyModel& self, const std::vector<nb::object>& arrays,
                            std::optional<std::vector<nb::object>> outs) {
  const std::shared_ptr<const Loaded> loaded = self.loaded;
  const Model& model = loaded->model;
  std::vector<TensorView> inputs;
  for (const nb::object& each : arrays) {
    const auto array = HostArray::of(each, false);
    if (!array) throw nb::type_error("run: a C-contiguous NumPy array of native byte order is expected");
    inputs.push_back(array->view());
  }
  const std::int64_t rows = inputs.empty() || inputs.front().shape().rank() == 0 ? 0 : inputs.front().shape()[0];
  if (outs && outs->size() != loaded->outputs.size())
    throw ArgumentError(ErrorCode::argument, "out: got " + std::to_string(outs->size()) + " arrays, the model has " +
                                                 std::to_string(loaded->outputs.size()) + " outputs");
  const bool bfloat = std::any_of(loaded->outputs.begin(), loaded->outputs.end(),
                                  [](const ArrayInfo& info) { return info.dtype == DType::bfloat16; });
  if (is_made_by_numpy(*loaded) || (outs && model.device().is_cpu() && !bfloat)) {
    if (!outs) {
      outs.emplace();
      for (const ArrayInfo& info : loaded->outputs) outs->push_back(empty_numpy(rows, info));
    }
    write_into(*loaded, inputs, *outs, rows);
    return *std::move(outs);
  }
  std::vector<Tensor> results;
  without_gil(*loaded, rows, [&](const std::stop_token& stop) { results = model.predict(inputs, stop); });
  std::vector<nb::object> made;
  for (std::size_t i = 0; i < results.size(); ++i) {
    if (outs)
      copy_into(model.output_names()[i], (*outs)[i], std::move(results[i]));
    else
      made.push_back(to_numpy(std::move(results[i])));
  }
  return outs ? *std::move(outs) : made;
}

/// Arrays with __dlpack__ in and out. Host memory: as Model::predict(). The model's GPU: with a stream enqueued there, into
/// `outs`; without one, for inputs that are complete, it waits for the result.
std::vector<nb::object> run_dlpack(const PyModel& self, const std::vector<AnyArray>& arrays,
                                   const std::vector<nb::ndarray<>>& outs, std::optional<std::uintptr_t> stream) {
  const std::shared_ptr<const Loaded> loaded = self.loaded;
  const Model& model = loaded->model;
  std::vector<TensorView> inputs;
  for (const AnyArray& array : arrays) inputs.push_back(dlpack_view(array));
  std::vector<Tensor> results;
  const std::int64_t rows = inputs.empty() || inputs.front().shape().rank() == 0 ? 0 : inputs.front().shape()[0];
  if (std::all_of(inputs.begin(), inputs.end(), [](const TensorView& x) { return x.device().is_cpu(); })) {
    without_gil(*loaded, rows, [&](const std::stop_token& stop) { results = model.predict(inputs, stop); });
  } else {
    std::vector<MutableTensorView> targets;
    for (const nb::ndarray<>& out : outs) {
      const TensorView view = dlpack_view(AnyArray(out));
      targets.emplace_back(out.data(), view.shape(), view.dtype(), view.device());
    }
    for (std::size_t i = 0; outs.empty() && i < loaded->outputs.size(); ++i) {
      const ArrayInfo& info = loaded->outputs[i];
      if (info.is_open())
        throw ArgumentError(ErrorCode::unsupported, "arrays on a GPU need a model whose output shapes are fixed");
      results.emplace_back(Shape(info.sample).prepended(rows), info.dtype, model.device());
      targets.push_back(results.back().view());
    }
    const nb::gil_scoped_release released;
    if (stream)
      model.predict_into(inputs, targets, reinterpret_cast<void*>(*stream));
    else
      model.predict_into(inputs, targets);
  }
  std::vector<nb::object> made;
  for (Tensor& result : results) made.push_back(to_dlpack(std::move(result)));
  return made;
}

using Arrays = std::map<std::string, nb::object>;

/// Calls f(model, weights) without the GIL; arrays are as HostArray::of() wants them, or have __dlpack__.
template <typename F>
void with_views(const PyModel& self, const Arrays& arrays, const F& f) {
  const std::shared_ptr<const Loaded> loaded = self.loaded;
  std::vector<AnyArray> held;
  std::map<std::string, TensorView> weights;
  for (const auto& [name, each] : arrays) {
    const auto array = HostArray::of(each, false);
    weights.emplace(name, array ? array->view() : dlpack_view(held.emplace_back(nb::cast<AnyArray>(each))));
  }
  const nb::gil_scoped_release released;
  f(loaded->model, weights);
}

PyModel with_weights(const PyModel& self, const Arrays& arrays) {
  PyModel made;
  with_views(self, arrays, [&](const Model& model, const std::map<std::string, TensorView>& weights) {
    made.loaded = std::make_shared<const Loaded>(model.with_weights(weights));
  });
  return made;
}

void update_weights(const PyModel& self, const Arrays& arrays, std::optional<std::uintptr_t> stream) {
  with_views(self, arrays, [&](Model model, const std::map<std::string, TensorView>& weights) {
    if (stream)
      model.update_weights(weights, reinterpret_cast<void*>(*stream));
    else
      model.update_weights(weights);
  });
}

void update_weights_from_file(const PyModel& self, const std::string& path, std::optional<std::uintptr_t> stream) {
  const nb::gil_scoped_release released;
  Model model = self.loaded->model;
  const auto weights = load_weights(model, path);
  if (stream)
    model.update_weights({weights.begin(), weights.end()}, reinterpret_cast<void*>(*stream));
  else
    model.update_weights({weights.begin(), weights.end()});
}

nb::dict stats(const PyModel& self) {
  const ModelStats found = self.loaded->model.stats();
  nb::dict result;
  result["calls"] = found.calls;
  result["rows"] = found.rows;
  result["programs"] = found.programs;
  result["sessions"] = found.sessions;
  result["graphs"] = found.graphs;
  result["preparing_seconds"] = found.preparing_seconds;
  return result;
}

nb::dict memory_bytes(const PyModel& self) {
  const MemoryBytes found = self.loaded->model.memory_bytes();
  nb::dict result;
  result["host"] = found.host;
  result["device"] = found.device;
  return result;
}

nb::capsule keep(std::shared_ptr<const Loaded> loaded) {
  using Kept = std::shared_ptr<const Loaded>;
  auto kept = std::make_unique<Kept>(std::move(loaded));
  nb::capsule owner(kept.get(), [](void* pointer) noexcept { delete static_cast<Kept*>(pointer); });
  static_cast<void>(kept.release());
  return owner;
}

std::vector<nb::object> weights(const PyModel& self) {
  const nb::capsule owner = keep(self.loaded);
  std::vector<nb::object> made;
  for (const TensorView& view : self.loaded->model.weights()) made.push_back(numpy_view(view, owner));
  return made;
}

using LayerParts = std::tuple<std::string, std::string, std::string, std::string, nb::dict>;

std::vector<LayerParts> layers(const PyModel& self) {
  const nb::capsule owner = keep(self.loaded);
  std::vector<LayerParts> made;
  for (const LayerInfo& layer : self.loaded->model.layers()) {
    nb::dict arrays;
    for (const auto& [name, view] : layer.weights) arrays[name.c_str()] = numpy_view(view, owner);
    made.emplace_back(layer.name, layer.class_name, layer.path, layer.config, arrays);
  }
  return made;
}

using Info = std::tuple<std::string, std::vector<std::int64_t>, std::string>;

std::vector<Info> infos(const std::vector<std::string>& names, const std::vector<ArrayInfo>& all) {
  std::vector<Info> made;
  for (std::size_t i = 0; i < all.size(); ++i) made.emplace_back(names[i], all[i].sample, std::string(to_string(all[i].dtype)));
  return made;
}

void bind_calls(nb::class_<PyModel>& model) {
  model
      .def(
          "__init__",
          [](PyModel* self, const nb::bytes& file, const nb::dict& options) {
            new (self) PyModel(load_bytes(file, options_from(options)));
          },
          nb::arg("file"), nb::arg("options"))
      .def(
          "__init__",
          [](PyModel* self, const std::string& path, const nb::dict& options, const Extents& input_shape) {
            new (self) PyModel(load_path(path, options_from(options), input_shape));
          },
          nb::arg("path"), nb::arg("options"), nb::arg("input_shape").none())
      .def(
          "__init__", [](PyModel* self, const PyModel& other) { new (self) PyModel(other); }, nb::arg("other"))
      .def("_call_at_once",
           [](const PyModel& self, nb::handle x) {
             nb::object result = call_at_once(self, x);
             return result.is_valid() ? result : nb::none();
           })
      .def("_run", &run, nb::arg("inputs"), nb::arg("outs").none())
      .def("_run_dlpack", &run_dlpack, nb::arg("inputs"), nb::arg("outs"), nb::arg("stream").none())
      .def("_input_infos", [](const PyModel& self) { return infos(self.loaded->model.input_names(), self.loaded->inputs); })
      .def("_output_infos", [](const PyModel& self) { return infos(self.loaded->model.output_names(), self.loaded->outputs); });
}

void bind_facts(nb::class_<PyModel>& model) {
  model.def("_weights", &weights)
      .def("_layers", &layers)
      .def("_explain",
           [](const PyModel& self, std::int64_t batch, bool json) {
             const auto loaded = self.loaded;
             const nb::gil_scoped_release released;
             return loaded->model.explain({.batch = batch, .json = json});
           })
      .def("_summary", [](const PyModel& self) { return self.loaded->model.summary(); })
      .def("_prepare",
           [](const PyModel& self, const std::vector<std::int64_t>& batches) {
             const auto loaded = self.loaded;
             const nb::gil_scoped_release released;
             loaded->model.prepare(batches);
           })
      .def(
          "save",
          [](const PyModel& self, const std::filesystem::path& path) {
            const auto loaded = self.loaded;
            const nb::gil_scoped_release released;
            loaded->model.save(path.string());
          },
          nb::arg("path"),
          "Writes NAME.keras, or NAME.weights.h5, as Keras 3 does; Keras then computes the same results. What it would read "
          "differently "
          "raises ArgumentError.")
      .def_prop_ro(
          "name", [](const PyModel& self) { return self.loaded->model.name(); }, "The model's name.")
      .def_prop_ro(
          "device", [](const PyModel& self) { return to_string(self.loaded->model.device()); },
          "Where the model runs: \"cpu\" or \"cuda:N\".")
      .def(
          "count_params", [](const PyModel& self) { return self.loaded->model.count_params(); },
          "The number of elements of all weights.");
}

void bind_changes(nb::class_<PyModel>& model) {
  model.def("_with_weights", &with_weights, nb::arg("weights"))
      .def("_with_weights_file",
           [](const PyModel& self, const std::string& path) {
             const auto loaded = self.loaded;
             const nb::gil_scoped_release released;
             return PyModel{std::make_shared<const Loaded>(loaded->model.with_weights(path))};
           })
      .def("_update_weights", &update_weights, nb::arg("weights"), nb::arg("stream").none())
      .def("_update_weights_from_file", &update_weights_from_file, nb::arg("path"), nb::arg("stream").none())
      .def("_output_of",
           [](const PyModel& self, const std::string& layer) {
             return PyModel{std::make_shared<const Loaded>(self.loaded->model.output_of(layer))};
           })
      .def("_stats", &stats)
      .def("_memory_bytes", &memory_bytes)
      .def("_set_activation", [](PyModel& self, const std::string& layer, nb::handle activation) {
        const Model& now = self.loaded->model;
        self.loaded = std::make_shared<const Loaded>(nb::isinstance<nb::str>(activation)
                                                         ? now.with_activation(layer, nb::cast<std::string>(activation))
                                                         : now.with_activation(layer, activation_from(activation)));
      });
}

}  // namespace

void bind_model(nb::module_& module) {
  nb::class_<PyModel> model(module, "Model", "A loaded model, as lamella.Model wraps it.");
  bind_calls(model);
  bind_facts(model);
  bind_changes(model);
}

}  // namespace lamella::python
