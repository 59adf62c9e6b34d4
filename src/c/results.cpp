// SPDX-License-Identifier: Apache-2.0
#include <algorithm>

#include "c/boundary.hpp"
#include "c/structs.hpp"

struct lamella_results {
  std::vector<lamella::Tensor> tensors;
  std::vector<std::vector<std::int64_t>> shapes;
};

using lamella::c::expect;
using lamella::c::guarded;

lamella_error* lamella_model_predict_new(const lamella_model* model, const lamella_tensor* inputs, size_t input_count,
                                         lamella_results** results) {
  return guarded([&] {
    constexpr const char* kName = "lamella_model_predict_new";
    expect(model, kName, "model");
    expect(results, kName, "results");
    const auto arrays = lamella::c::checked_arrays(inputs, input_count, model->inputs, "input", kName);
    LAMELLA_EXPECTS(std::all_of(arrays.begin(), arrays.end(), [](const auto& array) { return array.device.is_cpu(); }), device,
                    "[{}] an input does not lie on the CPU", kName);
    std::vector<lamella::Tensor> plain;
    auto made = std::make_unique<lamella_results>();
    made->tensors = model->model.predict(lamella::c::host_views(arrays, plain));
    for (const lamella::Tensor& tensor : made->tensors) made->shapes.emplace_back(tensor.shape().begin(), tensor.shape().end());
    *results = made.release();
  });
}

lamella_error* lamella_results_get(const lamella_results* results, int32_t index, lamella_tensor* what) {
  return guarded([&] {
    constexpr const char* kName = "lamella_results_get";
    expect(results, kName, "results");
    expect(what, kName, "what");
    const auto count = static_cast<std::int64_t>(results->tensors.size());
    LAMELLA_EXPECTS(index >= 0 && index < count, value, "[{}] index: got {}, allowed 0..{}", kName, index, count - 1);
    const auto i = static_cast<std::size_t>(index);
    // C has no way to say that the caller may not change the library's memory but in words.
    void* const data = const_cast<void*>(static_cast<const void*>(results->tensors[i].data()));
    lamella::c::write_struct(lamella_tensor{.struct_size = 0,
                                            .data = data,
                                            .dtype = lamella::c::number_of(results->tensors[i].dtype()),
                                            .ndim = static_cast<std::int32_t>(results->shapes[i].size()),
                                            .shape = results->shapes[i].data(),
                                            .strides = nullptr,
                                            .device_type = LAMELLA_CPU,
                                            .device_index = 0},
                             what, {kName, "what"});
  });
}

void lamella_results_free(lamella_results* results) { delete results; }
