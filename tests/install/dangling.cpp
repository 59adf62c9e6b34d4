// SPDX-License-Identifier: Apache-2.0
// Compiled by headers.sh, never run. CASE 0 is correct and gives no warning; in every other case a view outlives its memory.
#include <lamella/lamella.hpp>

using namespace lamella;

Model made();
Tensor result();

#if CASE == 0
TensorView parameter(const std::vector<float>& values) { return {values, Shape{2}}; }
std::int64_t right(std::vector<float>& values) {
  const TensorView of_span(std::span<const float>(values), {2});
  const MutableTensorView of_vector(values, {2});
  const Tensor kept = made().predict(result());
  const TensorView view = kept;
  const std::vector<std::string> names = made().input_names();
  const Model model = made();
  for (const TensorView& weight : model.weights()) static_cast<void>(weight.bytes());
  return of_span.shape().elements() + of_vector.reshaped({1, 2}).shape()[0] + view.shape()[0] + made().layers().size() +
         names.size();
}
#elif CASE == 1
TensorView of_a_local_vector() {
  const std::vector<float> values(2);
  return {values, Shape{2}};
}
#elif CASE == 2
TensorView of_a_local_array() {
  const float values[] = {1, 2};
  return TensorView(values, {2});
}
#elif CASE == 3
std::size_t of_a_temporary_tensor() {
  const TensorView view = result();
  return view.bytes();
}
#elif CASE == 4
std::size_t of_a_temporary_tensors_memory() {
  const auto elements = result().span<float>();
  return elements.size();
}
#elif CASE == 5
std::size_t of_a_temporary_models_names() {
  const std::vector<std::string>& names = made().input_names();
  return names.size();
}
#elif CASE == 6
std::size_t of_a_temporary_models_weights() {
  const std::vector<TensorView> weights = made().weights();
  return weights.size();
}
#elif CASE == 7
std::size_t of_a_temporary_models_layer() {
  const LayerInfo layer = made().get_layer("dense");
  return layer.weights.size();
}
#elif CASE == 8
std::size_t of_a_temporary_shape() {
  const auto extents = Shape({2, 3}).extents();
  return extents.size();
}
#elif CASE == 9
const Shape& of_a_local_tensor() {
  const Tensor tensor = result();
  return tensor.shape();
}
#elif CASE == 10
MutableTensorView of_a_local_vector_to_write() {
  std::vector<float> values(2);
  return {values, Shape{2}};
}
#elif CASE == 11
const std::string& of_a_temporary_layer() { return Layer(Dense(3)).class_name(); }
#else
#error "no such case"
#endif
