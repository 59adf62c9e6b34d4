// SPDX-License-Identifier: Apache-2.0
#include "model/call.hpp"

#include <algorithm>
#include <utility>

#include "model/impl.hpp"
#include "model/open_shapes.hpp"

namespace lamella::model {
namespace {

bool fits(std::span<const std::int64_t> sample, const std::vector<std::int64_t>& wanted) {
  return std::equal(sample.begin(), sample.end(), wanted.begin(), wanted.end(),
                    [](std::int64_t a, std::int64_t b) { return b < 0 || a == b; });
}

}  // namespace

std::string listed(const std::vector<std::string>& names) {
  std::string text;
  for (const std::string& n : names) text += core::concat(text.empty() ? "'" : ", '", core::escaped(n), "'");
  return text;
}

Shape accepted(const Shape& x, const std::vector<std::int64_t>& wanted, const std::string& input) {
  const auto extents = x.extents();
  if (!extents.empty()) {
    if (fits(extents.subspan(1), wanted)) return x;
    if (extents.size() == wanted.size() + 2 && extents.back() == 1 && fits(extents.subspan(1, wanted.size()), wanted))
      return x.slice(0, x.rank() - 1);
    if (extents.size() == wanted.size() && !wanted.empty() && wanted.back() == 1) {
      std::vector<std::int64_t> expanded(extents.begin(), extents.end());
      expanded.push_back(1);
      if (fits(std::span<const std::int64_t>(expanded).subspan(1), wanted)) return Shape(expanded);
    }
  }
  core::throw_argument(ErrorCode::shape, core::concat("[Model::predict] input '", core::escaped(input), "': expected shape ",
                                                      shape_text(wanted), ", got ", to_string(x)));
}

bool overlap(const TensorView& a, const TensorView& b) {
  if (a.bytes() == 0 || b.bytes() == 0) return false;
  const auto from_a = reinterpret_cast<std::uintptr_t>(a.data());
  const auto from_b = reinterpret_cast<std::uintptr_t>(b.data());
  return from_a < from_b + b.bytes() && from_b < from_a + a.bytes();
}

}  // namespace lamella::model

namespace lamella {

model::HostArrays Model::Impl::checked(std::span<const TensorView> inputs) const {
  LAMELLA_EXPECTS(inputs.size() == input_names.size(), argument, "[Model::predict] the model takes ", input_names.size(),
                  " inputs (", model::listed(input_names), "), got ", inputs.size());
  model::HostArrays host;
  std::vector<Shape> samples;
  for (std::size_t i = 0; i < inputs.size(); ++i) {
    const TensorView& x = inputs[i];
    LAMELLA_EXPECTS(core::is_host(x.device()), device, "[Model::predict] input '", core::escaped(input_names[i]), "' lies on ",
                    to_string(x.device()),
                    "; host memory is expected: Tensor::to(Device::cpu()) copies it there, predict_into() takes device memory");
    const Shape shape = model::accepted(x.shape(), input_shapes[i], input_names[i]);
    LAMELLA_EXPECTS(i == 0 || shape[0] == host.rows, shape, "[Model::predict] input '", core::escaped(input_names[i]), "' has ",
                    shape[0], " rows, input '", core::escaped(input_names[0]), "' has ", host.rows);
    host.rows = shape[0];
    samples.push_back(shape.slice(1, shape.rank()));
    const void* data = x.data();
    if (x.dtype() != input_dtypes[i]) {
      host.converted.push_back(Tensor::copy_of(x).to(input_dtypes[i]));
      data = std::as_const(host.converted.back()).data();
    }
    host.sources.push_back(
        {static_cast<const std::byte*>(data), static_cast<std::size_t>(samples.back().elements()) * size_of(input_dtypes[i])});
  }
  host.graph = graph(samples);
  for (const int output : host.graph->outputs) {
    const model::Value& value = host.graph->values[static_cast<std::size_t>(output)];
    Tensor& tensor = host.outputs.emplace_back(value.sample.prepended(host.rows), value.dtype);
    host.targets.push_back(
        {static_cast<std::byte*>(tensor.data()), static_cast<std::size_t>(value.sample.elements()) * size_of(value.dtype)});
  }
  return host;
}

}  // namespace lamella
