// SPDX-License-Identifier: Apache-2.0
#include <lamella/model.hpp>

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <ios>
#include <istream>
#include <optional>
#include <utility>
#include <vector>

#include "core/backend.hpp"
#include "core/float_environment.hpp"
#include "keras/load.hpp"
#include "keras/save.hpp"
#include "model/call.hpp"
#include "model/impl.hpp"
#include "model/open_shapes.hpp"
#include "ops/tuner.hpp"

namespace lamella {
Model::Model(std::shared_ptr<const core::ModelSpec> spec, const Options& options) {
  const core::FloatEnvironment environment;
  impl_ = std::make_shared<const Impl>(std::move(spec), options, std::make_shared<model::ConstantsPool>(),
                                       std::make_shared<core::MemoryBudget>(options.memory_limit));
  if (!core::is_logging()) return;
  const std::string why = impl_->why_no_other_device();
  core::log(LogLevel::info, "'{}' is made for {}: {} layers, {} elements of weights{}{}", core::escaped(name()),
            to_string(device()), impl_->spec->layers.size(), count_params(),
            why.empty() ? "" : "; no other device can be used: ", why);
}
Model::Model(std::shared_ptr<const Impl> impl) noexcept : impl_(std::move(impl)) {}
Model::Model(const Model&) noexcept = default;
Model& Model::operator=(const Model&) noexcept = default;
Model::~Model() = default;

/// The model of a file, ready to run. Messages begin with `path`.
Model model::made_of(std::shared_ptr<const core::ModelSpec> spec, const Options& options, std::string_view path) {
  const core::LogDelivery delivery;
  try {
    return core::Access::model(std::move(spec), options);
  } catch (const ArgumentError& error) {
    // Shapes that do not fit inside the model are errors of the file; options are the caller's.
    const std::string_view what = core::without_code(error.what());
    if (!what.starts_with("layer '")) throw;
    throw LoadError(error.code(), core::format("{}: {}", core::escaped(path, 4096), what));
  }
}

Model Model::load(const std::string& path, const Options& options) {
  const core::FloatEnvironment environment;
  return model::made_of(keras::load_model(path, options.hard_sigmoid), options, path);
}

Model Model::load(std::span<const std::byte> file, const Options& options) {
  const core::FloatEnvironment environment;
  return model::made_of(keras::load_model(file, options.hard_sigmoid), options, "(memory)");
}

namespace {

std::vector<std::byte> rest_of(std::istream& file) {
  constexpr std::size_t kAtOnce = 1U << 20U;
  std::vector<std::byte> bytes;
  try {
    if (!file.good()) throw std::ios_base::failure("the stream is not good");
    std::size_t done = 0;
    for (std::streamsize got = 1; got > 0;) {
      bytes.resize(done + kAtOnce);
      got = file.rdbuf()->sgetn(reinterpret_cast<char*>(bytes.data() + done), kAtOnce);
      done += static_cast<std::size_t>(std::max<std::streamsize>(got, 0));
    }
    bytes.resize(done);
    return bytes;
  } catch (const std::ios_base::failure& error) {
    throw LoadError(ErrorCode::io, core::format("(stream): cannot be read: {}", error.what()));
  }
}

}  // namespace

Model Model::load(std::istream& file, const Options& options) {
  const core::FloatEnvironment environment;
  return model::made_of(keras::load_model(rest_of(file), options.hard_sigmoid), options, "(memory)");
}

const std::string& Model::name() const noexcept { return impl_->spec->name; }
Device Model::device() const noexcept { return impl_->options.device; }
const std::vector<std::string>& Model::input_names() const noexcept { return impl_->input_names; }
const std::vector<std::string>& Model::output_names() const noexcept { return impl_->output_names; }

namespace {

std::size_t checked(int index, std::size_t count, const char* what) {
  LAMELLA_EXPECTS(index >= 0 && static_cast<std::size_t>(index) < count, value, "[Model::{}] index: got {}, allowed 0..{}", what,
                  index, static_cast<std::int64_t>(count) - 1);
  return static_cast<std::size_t>(index);
}

/// The shape and dtype of an output for inputs of these shapes.
template <typename Impl>
model::Value output_value(const Impl& impl, std::size_t output, const std::vector<Shape>& shapes) {
  const auto value = [&](const model::Graph& graph) { return graph.values[static_cast<std::size_t>(graph.outputs[output])]; };
  if (impl.fixed_shapes()) return value(*impl.graph(shapes));
  return value(model::lower(*impl.spec, shapes, impl.options, *impl.pool));
}

}  // namespace

std::vector<std::int64_t> Model::input_shape(int index) const {
  return impl_->input_shapes[checked(index, impl_->input_shapes.size(), "input_shape")];
}

std::vector<std::int64_t> Model::output_shape(int index) const {
  const core::FloatEnvironment environment;
  const auto reading = impl_->reading();
  const std::size_t i = checked(index, impl_->output_names.size(), "output_shape");
  using Lists = std::vector<std::vector<Shape>>;
  const auto infer = [&](const std::vector<Shape>& shapes) { return Lists{{output_value(*impl_, i, shapes).sample}}; };
  return model::infer_open_shapes(impl_->input_shapes, infer).front().front();
}

DType Model::input_dtype(int index) const {
  return impl_->input_dtypes[checked(index, impl_->input_dtypes.size(), "input_dtype")];
}

DType Model::output_dtype(int index) const {
  const core::FloatEnvironment environment;
  const auto reading = impl_->reading();
  const std::size_t i = checked(index, impl_->output_names.size(), "output_dtype");
  return output_value(*impl_, i, model::filled(impl_->input_shapes)).dtype;
}

// Each of the four calls checks its arguments and passes the arrays to Impl::run(): docs/architecture.md counts the frames.
Tensor Model::predict(const TensorView& x, const std::stop_token& stop) const {
  const core::FloatEnvironment environment;
  const auto reading = impl_->reading();
  LAMELLA_EXPECTS(impl_->output_names.size() == 1, argument,
                  "[Model::predict] the model has {} outputs ({}); use the overload that returns all of them",
                  impl_->output_names.size(), model::listed(impl_->output_names));
  model::HostArrays host = impl_->checked(std::span(&x, 1));
  impl_->run(host.call(stop), nullptr);
  return std::move(host.outputs.front());
}

std::vector<Tensor> Model::predict(std::span<const TensorView> inputs, const std::stop_token& stop) const {
  const core::FloatEnvironment environment;
  const auto reading = impl_->reading();
  model::HostArrays host = impl_->checked(inputs);
  impl_->run(host.call(stop), nullptr);
  return std::move(host.outputs);
}

namespace {

/// Arrays in the order of `names`, which are those of all inputs or outputs. Throws ArgumentError: value (no such name), missing.
template <typename View>
std::vector<View> ordered(const std::map<std::string, View>& arrays, const std::vector<std::string>& names, const char* kind,
                          const char* caller) {
  for (const auto& [name, view] : arrays) {
    LAMELLA_EXPECTS(std::find(names.begin(), names.end(), name) != names.end(), value,
                    "[Model::{}] no {} is named '{}'; known: {}", caller, kind, core::escaped(name), model::listed(names));
  }
  std::vector<View> views;
  for (const std::string& name : names) {
    const auto found = arrays.find(name);
    LAMELLA_EXPECTS(found != arrays.end(), missing, "[Model::{}] {} '{}' is not given", caller, kind, core::escaped(name));
    views.push_back(found->second);
  }
  return views;
}

}  // namespace

std::vector<Tensor> Model::predict(const std::map<std::string, TensorView>& inputs, const std::stop_token& stop) const {
  return predict(ordered(inputs, impl_->input_names, "input", "predict"), stop);
}

void Model::predict_into(const TensorView& src, const MutableTensorView& dst) const {
  impl_->run_into({&src, 1}, {&dst, 1}, nullptr);
}

void Model::predict_into(std::span<const TensorView> srcs, std::span<const MutableTensorView> dsts) const {
  impl_->run_into(srcs, dsts, nullptr);
}

void Model::predict_into(std::span<const TensorView> srcs, std::span<const MutableTensorView> dsts,
                         const std::stop_token& stop) const {
  impl_->run_into(srcs, dsts, stop);
}

void Model::predict_into(const std::map<std::string, TensorView>& srcs, const std::map<std::string, MutableTensorView>& dsts,
                         const std::stop_token& stop) const {
  impl_->run_into(ordered(srcs, impl_->input_names, "input", "predict_into"),
                  ordered(dsts, impl_->output_names, "output", "predict_into"), stop);
}

void Model::predict_into(const TensorView& src, const MutableTensorView& dst, void* stream) const {
  impl_->run_into({&src, 1}, {&dst, 1}, impl_->stream_of_caller(stream, "predict_into"));
}

void Model::predict_into(std::span<const TensorView> srcs, std::span<const MutableTensorView> dsts, void* stream) const {
  impl_->run_into(srcs, dsts, impl_->stream_of_caller(stream, "predict_into"));
}

void Model::predict_into(const std::map<std::string, TensorView>& srcs, const std::map<std::string, MutableTensorView>& dsts,
                         void* stream) const {
  predict_into(ordered(srcs, impl_->input_names, "input", "predict_into"),
               ordered(dsts, impl_->output_names, "output", "predict_into"), stream);
}

void Model::prepare(std::span<const std::int64_t> batches) const {
  const core::FloatEnvironment environment;
  const auto reading = impl_->reading();
  const auto shapes = impl_->fixed_shapes();
  LAMELLA_EXPECTS(shapes, unsupported, "[Model::prepare] the input shape of '{}' has open extents (None)", core::escaped(name()));
  for (const std::int64_t rows : batches)
    LAMELLA_EXPECTS(rows >= 1, value, "[Model::prepare] batches: got {} rows, allowed 1..", rows);
  impl_->prepare(impl_->graph(*shapes), batches);
}

Model Model::with_activation(std::string_view layer, std::string_view activation) const {
  const core::FloatEnvironment environment;
  const auto reading = impl_->reading();
  auto spec = model::with_activation(*impl_->spec, layer, activation, impl_->options.hard_sigmoid);
  return Model(std::make_shared<const Impl>(std::move(spec), impl_->options, impl_->pool, impl_->budget));
}

Model Model::with_activation(std::string_view layer, const ActivationSpec& activation) const {
  const core::FloatEnvironment environment;
  const auto reading = impl_->reading();
  auto spec = model::with_activation(*impl_->spec, layer, activation);
  return Model(std::make_shared<const Impl>(std::move(spec), impl_->options, impl_->pool, impl_->budget));
}

void Model::set_activation(std::string_view layer, std::string_view activation) { *this = with_activation(layer, activation); }
void Model::set_activation(std::string_view layer, const ActivationSpec& activation) {
  *this = with_activation(layer, activation);
}

Model Model::output_of(std::string_view layer) const {
  const core::FloatEnvironment environment;
  const auto reading = impl_->reading();
  return Model(std::make_shared<const Impl>(model::ending_at(*impl_->spec, layer), impl_->options, impl_->pool, impl_->budget));
}

void Model::save(const std::string& path) const {
  const auto reading = impl_->reading();
  keras::save_model(*impl_->spec, path);
}

std::string Model::summary() const {
  const core::FloatEnvironment environment;
  return model::summary_of(*impl_->spec);
}

std::string Model::explain(const ExplainOptions& options) const {
  const core::FloatEnvironment environment;
  const auto reading = impl_->reading();
  LAMELLA_EXPECTS(options.batch >= 0, value, "[Model::explain] batch: got {}, allowed 0..", options.batch);
  const auto shapes = impl_->fixed_shapes();
  LAMELLA_EXPECTS(shapes, unsupported, "[Model::explain] the input shape of '{}' has open extents (None)", core::escaped(name()));
  model::Explained explained = impl_->explained(impl_->graph(*shapes), options.batch);
  if (impl_->options.tuning != Tuning::off)
    explained.tuning = (impl_->tuner == nullptr ? ops::Tuner::of_process() : *impl_->tuner).trouble();
  return options.json ? model::explain_json(explained) : model::explain_text(explained, impl_->why_no_other_device());
}

}  // namespace lamella
