// SPDX-License-Identifier: Apache-2.0
#include "library.hpp"

#include <algorithm>
#include <array>

#include "failure.hpp"

namespace lamella::triton {
namespace {

constexpr std::array kTypes{ElementType{LAMELLA_FLOAT32, TRITONSERVER_TYPE_FP32, "FP32", 4},
                            ElementType{LAMELLA_FLOAT16, TRITONSERVER_TYPE_FP16, "FP16", 2},
                            ElementType{LAMELLA_BFLOAT16, TRITONSERVER_TYPE_BF16, "BF16", 2},
                            ElementType{LAMELLA_FLOAT64, TRITONSERVER_TYPE_FP64, "FP64", 8},
                            ElementType{LAMELLA_INT8, TRITONSERVER_TYPE_INT8, "INT8", 1},
                            ElementType{LAMELLA_INT16, TRITONSERVER_TYPE_INT16, "INT16", 2},
                            ElementType{LAMELLA_INT32, TRITONSERVER_TYPE_INT32, "INT32", 4},
                            ElementType{LAMELLA_INT64, TRITONSERVER_TYPE_INT64, "INT64", 8},
                            ElementType{LAMELLA_UINT8, TRITONSERVER_TYPE_UINT8, "UINT8", 1},
                            ElementType{LAMELLA_UINT16, TRITONSERVER_TYPE_UINT16, "UINT16", 2},
                            ElementType{LAMELLA_UINT32, TRITONSERVER_TYPE_UINT32, "UINT32", 4},
                            ElementType{LAMELLA_UINT64, TRITONSERVER_TYPE_UINT64, "UINT64", 8},
                            ElementType{LAMELLA_BOOL, TRITONSERVER_TYPE_BOOL, "BOOL", 1}};

struct FreeOptions {
  void operator()(lamella_options* options) const noexcept { lamella_options_free(options); }
};

/// The inputs or the outputs of the model, by the library's functions for them.
template <typename Count, typename Name, typename Describe>
std::vector<Port> ports_of(const lamella_model* model, Count count, Name name, Describe describe) {
  std::vector<Port> ports;
  for (std::int32_t i = 0; i < count(model); ++i) {
    lamella_tensor what{};
    what.struct_size = sizeof(what);
    check(describe(model, i, &what));
    ports.push_back({name(model, i), element_type(what.dtype), {what.shape + 1, what.shape + what.ndim}});
  }
  return ports;
}

}  // namespace

const ElementType& element_type(std::int32_t lamella) {
  const auto* const found =
      std::find_if(kTypes.begin(), kTypes.end(), [&](const ElementType& type) { return type.lamella == lamella; });
  if (found == kTypes.end()) refuse("the library has an element type that this backend does not know");
  return *found;
}

Results::Results(lamella_results* results, std::size_t count) : results_(results), tensors_(count) {
  for (std::size_t i = 0; i < count; ++i) {
    tensors_[i].struct_size = sizeof(lamella_tensor);
    check(lamella_results_get(results, static_cast<std::int32_t>(i), &tensors_[i]));
  }
}

Model::Model(const std::string& path, const Options& options, const std::string& device) {
  lamella_options* made = nullptr;
  check(lamella_options_create(&made));
  const std::unique_ptr<lamella_options, FreeOptions> owned(made);
  for (const auto& [name, value] : options)
    check(lamella_options_set(made, name.c_str(), value.c_str()), "parameter '" + name + "': ");
  check(lamella_options_set(made, "device", device.c_str()));
  lamella_model* model = nullptr;
  check(lamella_model_load(path.c_str(), made, &model));
  model_.reset(model);
  ports_ = {ports_of(model, lamella_model_input_count, lamella_model_input_name, lamella_model_input),
            ports_of(model, lamella_model_output_count, lamella_model_output_name, lamella_model_output)};
}

void Model::predict(std::span<const lamella_tensor> inputs, std::span<const lamella_tensor> outputs) const {
  check(lamella_model_predict(model_.get(), inputs.data(), inputs.size(), outputs.data(), outputs.size()));
}

Results Model::predict(std::span<const lamella_tensor> inputs) const {
  lamella_results* results = nullptr;
  check(lamella_model_predict_new(model_.get(), inputs.data(), inputs.size(), &results));
  return {results, ports_.outputs.size()};
}

std::string text_of(std::span<const std::int64_t> shape) {
  std::string text = "[";
  for (const std::int64_t extent : shape) text += (text.size() == 1 ? "" : ", ") + std::to_string(extent);
  return text + "]";
}

}  // namespace lamella::triton
