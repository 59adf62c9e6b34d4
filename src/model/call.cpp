// SPDX-License-Identifier: Apache-2.0
#include "model/call.hpp"

#include <algorithm>
#include <optional>
#include <utility>

#include "core/float_environment.hpp"
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
  for (const std::string& n : names) text += core::format("{}{}'", text.empty() ? "'" : ", '", core::escaped(n));
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
  core::throw_argument(ErrorCode::shape, core::format("[Model::predict] input '{}': expected shape {}, got {}",
                                                      core::escaped(input), batch_shape_text(wanted), to_string(x)));
}

bool overlap(const TensorView& a, const TensorView& b) {
  if (a.bytes() == 0 || b.bytes() == 0) return false;
  const auto from_a = reinterpret_cast<std::uintptr_t>(a.data());
  const auto from_b = reinterpret_cast<std::uintptr_t>(b.data());
  return from_a < from_b + b.bytes() && from_b < from_a + a.bytes();
}

}  // namespace lamella::model

namespace lamella {

Shape Model::Impl::sample_of(const TensorView& x, std::size_t input, const char* call, std::int64_t& rows) const {
  const Shape shape = model::accepted(x.shape(), input_shapes[input], input_names[input]);
  LAMELLA_EXPECTS(input == 0 || shape[0] == rows, shape, "[Model::{}] input '{}' has {} rows, input '{}' has {}", call,
                  core::escaped(input_names[input]), shape[0], core::escaped(input_names[0]), rows);
  rows = shape[0];
  return shape.slice(1, shape.rank());
}

model::HostArrays Model::Impl::checked(std::span<const TensorView> inputs) const {
  LAMELLA_EXPECTS(inputs.size() == input_names.size(), argument, "[Model::predict] the model takes {} inputs ({}), got {}",
                  input_names.size(), model::listed(input_names), inputs.size());
  model::HostArrays host;
  std::vector<Shape> samples;
  for (std::size_t i = 0; i < inputs.size(); ++i) {
    const TensorView& x = inputs[i];
    LAMELLA_EXPECTS(core::is_host(x.device()), device,
                    "[Model::predict] input '{}' is on {}; host memory is expected: Tensor::to(Device::cpu()) copies it there, "
                    "predict_into() takes device memory",
                    core::escaped(input_names[i]), to_string(x.device()));
    samples.push_back(sample_of(x, i, "predict", host.rows));
    const void* data = x.data();
    if (x.dtype() != input_dtypes[i]) {
      host.converted.push_back(Tensor::copy_of(x).to(input_dtypes[i]));
      data = std::as_const(host.converted.back()).data();
    }
    host.sources.push_back(
        {static_cast<const std::byte*>(data), static_cast<std::size_t>(samples.back().elements()) * size_of(input_dtypes[i])});
  }
  host.graph = graph(samples, host.rows);
  for (const int output : host.graph->outputs) {
    const model::Value& value = host.graph->values[static_cast<std::size_t>(output)];
    Tensor& tensor = host.outputs.emplace_back(value.sample.prepended(host.rows), value.dtype);
    host.targets.push_back(
        {static_cast<std::byte*>(tensor.data()), static_cast<std::size_t>(value.sample.elements()) * size_of(value.dtype)});
  }
  return host;
}

void* Model::Impl::stream_of_caller(void* stream, const char* caller) const {
  void* const callers_default = backend.traits.default_stream;
  LAMELLA_EXPECTS(callers_default != nullptr, device, "[Model::{}] a stream was given, but the model is on {}, which has none",
                  caller, to_string(options.device));
  return stream != nullptr ? stream : callers_default;
}

void Model::Impl::expect_arrays(std::span<const TensorView> srcs, std::span<const MutableTensorView> dsts) const {
  LAMELLA_EXPECTS(srcs.size() == input_names.size() && dsts.size() == output_names.size(), argument,
                  "[Model::predict_into] the model has {} inputs ({}) and {} outputs ({}), got {} and {}", input_names.size(),
                  model::listed(input_names), output_names.size(), model::listed(output_names), srcs.size(), dsts.size());
  const auto expect_here = [&](const TensorView& array, const char* kind, const std::string& name, const char* what) {
    LAMELLA_EXPECTS(
        array.device() == options.device, device,
        "[Model::predict_into] {} '{}' is on {}, the model on {}; all must be on one device: Tensor::to(device) copies", kind,
        core::escaped(name), to_string(array.device()), to_string(options.device));
    backend.expect_device_memory(options.device.index(), array.data(), what);
  };
  for (std::size_t i = 0; i < srcs.size(); ++i) {
    expect_here(srcs[i], "input", input_names[i], "[Model::predict_into] an input");
    LAMELLA_EXPECTS(srcs[i].dtype() == input_dtypes[i], dtype,
                    "[Model::predict_into] input '{}' is {}, the model takes {}; Tensor::to(dtype) converts",
                    core::escaped(input_names[i]), to_string(srcs[i].dtype()), to_string(input_dtypes[i]));
  }
  for (std::size_t i = 0; i < dsts.size(); ++i) {
    expect_here(dsts[i], "output", output_names[i], "[Model::predict_into] an output");
    const auto shared_with = [&](const TensorView& other) { return model::overlap(dsts[i], other); };
    LAMELLA_EXPECTS(std::none_of(srcs.begin(), srcs.end(), shared_with), argument,
                    "[Model::predict_into] output '{}' and an input share memory: rows would be overwritten before they are read",
                    core::escaped(output_names[i]));
    LAMELLA_EXPECTS(std::none_of(dsts.begin(), dsts.begin() + static_cast<std::ptrdiff_t>(i), shared_with), argument,
                    "[Model::predict_into] output '{}' and another output share memory", core::escaped(output_names[i]));
  }
}

inline void Model::Impl::run_into_until(const std::stop_token* stop, std::span<const TensorView> srcs,
                                        std::span<const MutableTensorView> dsts, void* stream) const {
  const core::FloatEnvironment environment;
  const auto passage = reading();
  expect_arrays(srcs, dsts);
  const bool captured = stream != nullptr && backend.is_captured(options.device.index(), stream);
  std::optional<Lease> lease;  // none in a capture, which even choosing a session may break
  if (!captured) lease.emplace(*this, stream);
  model::CallerArrays own;
  model::CallerArrays& arrays = lease ? (*lease)->caller_arrays() : own;
  std::int64_t rows = 0;
  arrays.samples.clear();
  arrays.sources.clear();
  arrays.targets.clear();
  const auto row_bytes = [&](const TensorView& all) { return rows == 0 ? 0 : all.bytes() / static_cast<std::size_t>(rows); };
  for (std::size_t i = 0; i < srcs.size(); ++i) {
    arrays.samples.push_back(sample_of(srcs[i], i, "predict_into", rows));
    arrays.sources.push_back({static_cast<const std::byte*>(srcs[i].data()), row_bytes(srcs[i])});
  }
  const auto lowered = graph(arrays.samples, rows);
  for (std::size_t i = 0; i < dsts.size(); ++i) {
    const model::Value& out = lowered->values[static_cast<std::size_t>(lowered->outputs[i])];
    LAMELLA_EXPECTS(dsts[i].dtype() == out.dtype && dsts[i].shape() == out.sample.prepended(rows), shape,
                    "[Model::predict_into] output '{}' is {} {}, the result is {} {}", core::escaped(output_names[i]),
                    to_string(dsts[i].dtype()), to_string(dsts[i].shape()), to_string(out.dtype),
                    to_string(out.sample.prepended(rows)));
    arrays.targets.push_back({static_cast<std::byte*>(dsts[i].data()), row_bytes(dsts[i])});
  }
  const model::Call call{
      .graph = lowered, .arrays = {arrays.sources, arrays.targets}, .rows = rows, .stop = stop, .stream = stream};
  if (captured)
    capture(call);
  else
    run(call, &*lease);
}

void Model::Impl::run_into(std::span<const TensorView> srcs, std::span<const MutableTensorView> dsts, void* stream) const {
  run_into_until(nullptr, srcs, dsts, stream);
}

void Model::Impl::run_into(std::span<const TensorView> srcs, std::span<const MutableTensorView> dsts,
                           const std::stop_token& stop) const {
  run_into_until(&stop, srcs, dsts, nullptr);
}

}  // namespace lamella
