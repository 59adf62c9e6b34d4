// SPDX-License-Identifier: Apache-2.0
#include <algorithm>
#include <cstdlib>
#include <map>
#include <new>

#include <lamella/architecture.hpp>
#include <lamella/weights.hpp>

#include "c/boundary.hpp"
#include "c/structs.hpp"

namespace lamella::c {
namespace {

std::vector<std::int64_t> with_batch(const std::vector<std::int64_t>& sample) {
  std::vector<std::int64_t> shape{-1};
  shape.insert(shape.end(), sample.begin(), sample.end());
  return shape;
}

lamella_model* handle(const Model& model) {
  auto result = std::make_unique<lamella_model>(lamella_model{model, {}, {}});
  const Model& made = result->model;
  for (std::size_t i = 0; i < made.input_names().size(); ++i) {
    const int index = static_cast<int>(i);
    result->inputs.push_back({made.input_names()[i], made.input_dtype(index), with_batch(made.input_shape(index))});
  }
  for (std::size_t i = 0; i < made.output_names().size(); ++i) {
    const int index = static_cast<int>(i);
    result->outputs.push_back({made.output_names()[i], made.output_dtype(index), with_batch(made.output_shape(index))});
  }
  return result.release();
}

Options options_of(const lamella_options* options) { return options == nullptr ? Options{} : options->options; }

/// Text that the caller owns.
char* given(const std::string& text) {
  char* const copy = ::strdup(text.c_str());
  if (copy == nullptr) throw std::bad_alloc();
  return copy;
}

const char* name_at(const std::vector<lamella_model::Port>& ports, std::int32_t index) {
  return index >= 0 && static_cast<std::size_t>(index) < ports.size() ? ports[static_cast<std::size_t>(index)].name.c_str()
                                                                      : nullptr;
}

void describe(const std::vector<lamella_model::Port>& ports, const Model& model, std::int32_t index, lamella_tensor* what,
              const char* function) {
  expect(what, function, "what");
  LAMELLA_EXPECTS(name_at(ports, index) != nullptr, value, "[{}] index: got {}, allowed 0..{}", function, index,
                  static_cast<std::int64_t>(ports.size()) - 1);
  const lamella_model::Port& port = ports[static_cast<std::size_t>(index)];
  const bool cuda = model.device().is_cuda();
  write_struct(lamella_tensor{.struct_size = 0,
                              .data = nullptr,
                              .dtype = number_of(port.dtype),
                              .ndim = static_cast<std::int32_t>(port.shape.size()),
                              .shape = port.shape.data(),
                              .strides = nullptr,
                              .device_type = cuda ? LAMELLA_CUDA : LAMELLA_CPU,
                              .device_index = cuda ? model.device().index() : 0},
               what, {function, "what"});
}

struct Arrays {
  std::vector<Array> inputs;
  std::vector<Array> outputs;

  template <typename F>
  [[nodiscard]] bool all(const F& f) const {
    return std::all_of(inputs.begin(), inputs.end(), f) && std::all_of(outputs.begin(), outputs.end(), f);
  }
};

/// The arrays of a call, checked for the model's number and dtypes.
Arrays arrays_of(const lamella_model& model, const lamella_tensor* inputs, std::size_t input_count, const lamella_tensor* outputs,
                 std::size_t output_count, const char* function) {
  return {checked_arrays(inputs, input_count, model.inputs, "input", function),
          checked_arrays(outputs, output_count, model.outputs, "output", function)};
}

struct Views {
  std::vector<TensorView> inputs;
  std::vector<MutableTensorView> outputs;
};

Views views_of(const Arrays& arrays) {
  Views views;
  for (const Array& array : arrays.inputs) views.inputs.emplace_back(array.data, array.shape, array.dtype, array.device);
  for (const Array& array : arrays.outputs) views.outputs.emplace_back(array.data, array.shape, array.dtype, array.device);
  return views;
}

/// With copies: host arrays of a model on another device, or strided arrays.
void predict_copied(const lamella_model& model, const Arrays& arrays) {
  std::vector<Tensor> plain;
  const std::vector<Tensor> results = model.model.predict(host_views(arrays.inputs, plain));
  for (std::size_t i = 0; i < results.size(); ++i) {
    LAMELLA_EXPECTS(arrays.outputs[i].shape == results[i].shape(), shape,
                    "[lamella_model_predict] output '{}': got {}, the result is {}", core::escaped(model.outputs[i].name),
                    to_string(arrays.outputs[i].shape), to_string(results[i].shape()));
  }
  for (std::size_t i = 0; i < results.size(); ++i) {
    if (!arrays.outputs[i].strides.empty()) {
      scatter(results[i].data(), arrays.outputs[i]);
    } else if (results[i].bytes() != 0) {
      std::memcpy(arrays.outputs[i].data, results[i].data(), results[i].bytes());
    }
  }
}

void predict(const lamella_model& model, const Arrays& arrays) {
  const Device device = model.model.device();
  if (arrays.all([&](const Array& array) { return array.device == device && array.strides.empty(); })) {
    const Views views = views_of(arrays);
    return model.model.predict_into(views.inputs, views.outputs);
  }
  LAMELLA_EXPECTS(arrays.all([](const Array& array) { return array.device.is_cpu(); }), device,
                  "[lamella_model_predict] arrays are on different devices, or are strided and not on the CPU; allowed: all on "
                  "the CPU, or all contiguous on {}",
                  to_string(device));
  predict_copied(model, arrays);
}

/// Arrays by the names of weights; strided host arrays are copied into `plain`, which must live as long.
std::map<std::string, TensorView> weights_of(const char* const* names, const lamella_tensor* values, std::size_t count,
                                             std::vector<Tensor>& plain, const char* function) {
  std::map<std::string, TensorView> weights;
  for (std::size_t i = 0; i < count; ++i) {
    expect(names, function, "names");
    expect(names[i], function, "names[i]");
    expect(values, function, "values");
    const Where where{function, "weight", names[i]};
    const Array array = array_of(values, i, where);
    TensorView view(array.data, array.shape, array.dtype, array.device);
    if (!array.strides.empty() && array.device.is_cpu()) {
      gather(array, plain.emplace_back(array.shape, array.dtype).data());
      view = std::as_const(plain.back()).view();
    }
    LAMELLA_EXPECTS(array.strides.empty() || array.device.is_cpu(), device,
                    "{}: a strided array is on {}, allowed on the CPU only", where.text(), to_string(array.device));
    LAMELLA_EXPECTS(weights.emplace(names[i], view).second, value, "{} is given twice", where.text());
  }
  return weights;
}

}  // namespace
}  // namespace lamella::c

using lamella::c::expect;
using lamella::c::guarded;

lamella_error* lamella_model_load(const char* path, const lamella_options* options, lamella_model** model) {
  return guarded([&] {
    expect(path, "lamella_model_load", "path");
    expect(model, "lamella_model_load", "model");
    *model = lamella::c::handle(lamella::Model::load(path, lamella::c::options_of(options)));
  });
}

lamella_error* lamella_model_load_with_shape(const char* path, const int64_t* shape, size_t ndim, const lamella_options* options,
                                             lamella_model** model) {
  return guarded([&] {
    constexpr const char* kName = "lamella_model_load_with_shape";
    expect(path, kName, "path");
    if (ndim != 0) expect(shape, kName, "shape");
    LAMELLA_EXPECTS(ndim < LAMELLA_MAX_RANK, value, "[{}] ndim: got {}, allowed 0..{}", kName, ndim, LAMELLA_MAX_RANK - 1);
    expect(model, kName, "model");
    const std::vector<std::int64_t> sample(shape, shape + ndim);
    *model = lamella::c::handle(lamella::load_with_shape(path, sample, lamella::c::options_of(options)));
  });
}

lamella_error* lamella_model_load_bytes(const void* bytes, size_t size, const lamella_options* options, lamella_model** model) {
  return guarded([&] {
    expect(bytes, "lamella_model_load_bytes", "bytes");
    expect(model, "lamella_model_load_bytes", "model");
    const std::span file(static_cast<const std::byte*>(bytes), size);
    *model = lamella::c::handle(lamella::Model::load(file, lamella::c::options_of(options)));
  });
}

lamella_error* lamella_model_with_activation(const lamella_model* model, const char* layer, const char* activation,
                                             lamella_model** changed) {
  return guarded([&] {
    constexpr const char* kName = "lamella_model_with_activation";
    expect(model, kName, "model");
    expect(layer, kName, "layer");
    expect(activation, kName, "activation");
    expect(changed, kName, "changed");
    *changed = lamella::c::handle(model->model.with_activation(layer, activation));
  });
}

lamella_error* lamella_model_with_activation_parameters(const lamella_model* model, const char* layer, const char* activation,
                                                        const char* const* names, const double* values, size_t count,
                                                        lamella_model** changed) {
  return guarded([&] {
    constexpr const char* kName = "lamella_model_with_activation_parameters";
    expect(model, kName, "model");
    expect(layer, kName, "layer");
    expect(activation, kName, "activation");
    expect(changed, kName, "changed");
    std::vector<lamella::ActivationValue> parameters;
    for (std::size_t i = 0; i < count; ++i) {
      expect(names, kName, "names");
      expect(names[i], kName, "names[i]");
      expect(values, kName, "values");
      parameters.emplace_back(names[i], values[i]);
    }
    *changed = lamella::c::handle(model->model.with_activation(layer, lamella::activation_of(activation, parameters)));
  });
}

lamella_error* lamella_model_output_of(const lamella_model* model, const char* layer, lamella_model** part) {
  return guarded([&] {
    expect(model, "lamella_model_output_of", "model");
    expect(layer, "lamella_model_output_of", "layer");
    expect(part, "lamella_model_output_of", "part");
    *part = lamella::c::handle(model->model.output_of(layer));
  });
}

lamella_error* lamella_model_save(const lamella_model* model, const char* path) {
  return guarded([&] {
    expect(model, "lamella_model_save", "model");
    expect(path, "lamella_model_save", "path");
    model->model.save(path);
  });
}

lamella_error* lamella_model_with_weights(const lamella_model* model, const char* path, lamella_model** changed) {
  return guarded([&] {
    expect(model, "lamella_model_with_weights", "model");
    expect(path, "lamella_model_with_weights", "path");
    expect(changed, "lamella_model_with_weights", "changed");
    *changed = lamella::c::handle(model->model.with_weights(path));
  });
}

lamella_error* lamella_model_update_weights(lamella_model* model, const char* const* names, const lamella_tensor* values,
                                            size_t count) {
  return guarded([&] {
    constexpr const char* kName = "lamella_model_update_weights";
    expect(model, kName, "model");
    std::vector<lamella::Tensor> plain;
    model->model.update_weights(lamella::c::weights_of(names, values, count, plain, kName));
  });
}

lamella_error* lamella_model_update_from_file(lamella_model* model, const char* path) {
  return guarded([&] {
    expect(model, "lamella_model_update_from_file", "model");
    expect(path, "lamella_model_update_from_file", "path");
    const auto weights = lamella::load_weights(model->model, path);
    model->model.update_weights({weights.begin(), weights.end()});
  });
}

lamella_error* lamella_model_enqueue_update(lamella_model* model, const char* const* names, const lamella_tensor* values,
                                            size_t count, void* stream) {
  return guarded([&] {
    constexpr const char* kName = "lamella_model_enqueue_update";
    expect(model, kName, "model");
    std::vector<lamella::Tensor> plain;
    model->model.update_weights(lamella::c::weights_of(names, values, count, plain, kName), stream);
  });
}

void lamella_model_free(lamella_model* model) { delete model; }

lamella_error* lamella_model_device(const lamella_model* model, int32_t* device_type, int32_t* device_index) {
  return guarded([&] {
    expect(model, "lamella_model_device", "model");
    expect(device_type, "lamella_model_device", "device_type");
    expect(device_index, "lamella_model_device", "device_index");
    const lamella::Device device = model->model.device();
    *device_type = device.is_cuda() ? LAMELLA_CUDA : LAMELLA_CPU;
    *device_index = device.index();
  });
}

int32_t lamella_model_input_count(const lamella_model* model) {
  return model == nullptr ? 0 : static_cast<int32_t>(model->inputs.size());
}

int32_t lamella_model_output_count(const lamella_model* model) {
  return model == nullptr ? 0 : static_cast<int32_t>(model->outputs.size());
}

const char* lamella_model_input_name(const lamella_model* model, int32_t index) {
  return model == nullptr ? nullptr : lamella::c::name_at(model->inputs, index);
}

const char* lamella_model_output_name(const lamella_model* model, int32_t index) {
  return model == nullptr ? nullptr : lamella::c::name_at(model->outputs, index);
}

lamella_error* lamella_model_input(const lamella_model* model, int32_t index, lamella_tensor* what) {
  return guarded([&] {
    expect(model, "lamella_model_input", "model");
    lamella::c::describe(model->inputs, model->model, index, what, "lamella_model_input");
  });
}

lamella_error* lamella_model_output(const lamella_model* model, int32_t index, lamella_tensor* what) {
  return guarded([&] {
    expect(model, "lamella_model_output", "model");
    lamella::c::describe(model->outputs, model->model, index, what, "lamella_model_output");
  });
}

lamella_error* lamella_model_predict(const lamella_model* model, const lamella_tensor* inputs, size_t input_count,
                                     const lamella_tensor* outputs, size_t output_count) {
  return guarded([&] {
    expect(model, "lamella_model_predict", "model");
    lamella::c::predict(*model,
                        lamella::c::arrays_of(*model, inputs, input_count, outputs, output_count, "lamella_model_predict"));
  });
}

lamella_error* lamella_model_enqueue(const lamella_model* model, const lamella_tensor* inputs, size_t input_count,
                                     const lamella_tensor* outputs, size_t output_count, void* stream) {
  return guarded([&] {
    constexpr const char* kName = "lamella_model_enqueue";
    expect(model, kName, "model");
    const auto arrays = lamella::c::arrays_of(*model, inputs, input_count, outputs, output_count, kName);
    LAMELLA_EXPECTS(arrays.all([](const auto& array) { return array.strides.empty(); }), argument,
                    "[{}] an array is strided; allowed are contiguous arrays in C order", kName);
    const auto views = lamella::c::views_of(arrays);
    model->model.predict_into(views.inputs, views.outputs, stream);
  });
}

lamella_error* lamella_model_prepare(const lamella_model* model, const int64_t* batches, size_t count) {
  return guarded([&] {
    expect(model, "lamella_model_prepare", "model");
    if (count != 0) expect(batches, "lamella_model_prepare", "batches");
    model->model.prepare({batches, count});
  });
}

int64_t lamella_model_count_params(const lamella_model* model) { return model == nullptr ? 0 : model->model.count_params(); }

lamella_error* lamella_model_memory_bytes(const lamella_model* model, uint64_t* host, uint64_t* device) {
  return guarded([&] {
    expect(model, "lamella_model_memory_bytes", "model");
    expect(host, "lamella_model_memory_bytes", "host");
    expect(device, "lamella_model_memory_bytes", "device");
    const lamella::MemoryBytes bytes = model->model.memory_bytes();
    *host = bytes.host;
    *device = bytes.device;
  });
}

lamella_error* lamella_model_stats(const lamella_model* model, lamella_stats* stats) {
  return guarded([&] {
    expect(model, "lamella_model_stats", "model");
    expect(stats, "lamella_model_stats", "stats");
    const lamella::ModelStats found = model->model.stats();
    lamella::c::write_struct(
        lamella_stats{0, found.calls, found.rows, found.programs, found.sessions, found.graphs, found.preparing_seconds}, stats,
        {"lamella_model_stats", "stats"});
  });
}

lamella_error* lamella_model_summary(const lamella_model* model, char** text) {
  return guarded([&] {
    expect(model, "lamella_model_summary", "model");
    expect(text, "lamella_model_summary", "text");
    *text = lamella::c::given(model->model.summary());
  });
}

lamella_error* lamella_model_explain(const lamella_model* model, int64_t batch, int32_t json, char** text) {
  return guarded([&] {
    expect(model, "lamella_model_explain", "model");
    expect(text, "lamella_model_explain", "text");
    *text = lamella::c::given(model->model.explain({.batch = batch, .json = json != 0}));
  });
}
