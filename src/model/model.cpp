// SPDX-License-Identifier: Apache-2.0
#include <lamella/model.hpp>

#include <algorithm>
#include <array>
#include <cstdint>
#include <optional>
#include <utility>

#include "core/backend.hpp"
#include "core/float_environment.hpp"
#include "core/threads.hpp"
#include "keras/load.hpp"
#include "model/impl.hpp"

namespace lamella {
namespace {

std::string listed(const std::vector<std::string>& names) {
  std::string text;
  for (const std::string& n : names) text += core::concat(text.empty() ? "'" : ", '", core::escaped(n), "'");
  return text;
}

bool fits(std::span<const std::int64_t> sample, const std::vector<std::int64_t>& wanted) {
  return std::equal(sample.begin(), sample.end(), wanted.begin(), wanted.end(),
                    [](std::int64_t a, std::int64_t b) { return b < 0 || a == b; });
}

/// The shape of x as the model takes it. Keras forgives a rank that is off by one where the last extent is 1; so does this.
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
                                                      model::shape_text(wanted), ", got ", to_string(x)));
}

bool overlap(const TensorView& a, const TensorView& b) {
  if (a.bytes() == 0 || b.bytes() == 0) return false;
  const auto from_a = reinterpret_cast<std::uintptr_t>(a.data());
  const auto from_b = reinterpret_cast<std::uintptr_t>(b.data());
  return from_a < from_b + b.bytes() && from_b < from_a + a.bytes();
}

struct Prepared {
  std::vector<Tensor> converted;       ///< keeps converted inputs alive
  std::vector<const std::byte*> data;  ///< one an input
  std::vector<std::size_t> row_bytes;
  std::vector<Shape> samples;
  std::int64_t rows = 0;
};

/// Checks inputs and brings them into the model's dtype.
template <typename Views>
Prepared prepared(const Views& inputs, const std::vector<std::vector<std::int64_t>>& wanted, const std::vector<DType>& dtypes,
                  const std::vector<std::string>& names) {
  LAMELLA_EXPECTS(inputs.size() == names.size(), argument, "[Model::predict] the model takes ", names.size(), " inputs (",
                  listed(names), "), got ", inputs.size());
  Prepared result;
  for (std::size_t i = 0; i < inputs.size(); ++i) {
    const TensorView& x = inputs[i];
    LAMELLA_EXPECTS(x.device().is_cpu(), device, "[Model::predict] input '", core::escaped(names[i]), "' lies on ",
                    to_string(x.device()),
                    "; host memory is expected: Tensor::to(Device::cpu()) copies it there, predict_into() takes device memory");
    const Shape shape = accepted(x.shape(), wanted[i], names[i]);
    LAMELLA_EXPECTS(i == 0 || shape[0] == result.rows, shape, "[Model::predict] input '", core::escaped(names[i]), "' has ",
                    shape[0], " rows, input '", core::escaped(names[0]), "' has ", result.rows);
    result.rows = shape[0];
    result.samples.push_back(shape.slice(1, shape.rank()));
    result.row_bytes.push_back(static_cast<std::size_t>(result.samples.back().elements()) * size_of(dtypes[i]));
    const void* data = x.data();
    if (x.dtype() != dtypes[i]) {
      result.converted.push_back(Tensor::copy_of(x).to(dtypes[i]));
      data = std::as_const(result.converted.back()).data();
    }
    result.data.push_back(static_cast<const std::byte*>(data));
  }
  return result;
}

}  // namespace

Model::Model(std::shared_ptr<const core::ModelSpec> spec, const Options& options) {
  LAMELLA_EXPECTS(spec != nullptr, argument, "[Model] spec: got null");
  const core::FloatEnvironment environment;
  impl_ = std::make_shared<const Impl>(std::move(spec), options, std::make_shared<model::ConstantsPool>(),
                                       std::make_shared<core::MemoryBudget>(options.memory_limit));
}
Model::Model(const Model&) noexcept = default;
Model& Model::operator=(const Model&) noexcept = default;
Model::~Model() = default;

Model Model::load(const std::string& path, const Options& options) {
  const core::FloatEnvironment environment;
  auto spec = keras::load_model(path, options.hard_sigmoid);
  try {
    return {std::move(spec), options};
  } catch (const ArgumentError& error) {
    // Shapes that do not fit inside the model are the file's fault; options are the caller's.
    const std::string_view what = core::without_code(error.what());
    if (!what.starts_with("layer '")) throw;
    throw LoadError(error.code(), core::concat(core::escaped(path, 4096), ": ", what));
  }
}

const std::string& Model::name() const noexcept { return impl_->spec->name; }
Device Model::device() const noexcept { return impl_->options.device; }
const std::vector<std::string>& Model::input_names() const noexcept { return impl_->input_names; }
const std::vector<std::string>& Model::output_names() const noexcept { return impl_->output_names; }

namespace {

std::size_t checked(int index, std::size_t count, const char* what) {
  LAMELLA_EXPECTS(index >= 0 && static_cast<std::size_t>(index) < count, value, "[Model::", what, "] index: got ", index,
                  ", allowed 0..", static_cast<std::int64_t>(count) - 1);
  return static_cast<std::size_t>(index);
}

/// What an output is with every open extent of the inputs replaced by `fill`.
template <typename Impl>
model::Value output_of(const Impl& impl, std::size_t output, std::int64_t fill) {
  const auto value = [&](const model::Graph& graph) { return graph.values[static_cast<std::size_t>(graph.outputs[output])]; };
  if (const auto shapes = impl.fixed_shapes()) return value(*impl.graph(*shapes));
  std::vector<Shape> shapes;
  for (auto sample : impl.input_shapes) {
    std::replace(sample.begin(), sample.end(), std::int64_t{-1}, fill);
    shapes.emplace_back(sample);
  }
  return value(model::lower(*impl.spec, shapes, impl.options, *impl.pool));
}

}  // namespace

std::vector<std::int64_t> Model::input_shape(int index) const {
  return impl_->input_shapes[checked(index, impl_->input_shapes.size(), "input_shape")];
}

std::vector<std::int64_t> Model::output_shape(int index) const {
  const core::FloatEnvironment environment;
  const std::size_t i = checked(index, impl_->output_names.size(), "output_shape");
  // Two ways to fill the open extents: where the results differ, the output's extent is open too.
  const Shape one = output_of(*impl_, i, 2).sample;
  const Shape other = output_of(*impl_, i, 4).sample;
  std::vector<std::int64_t> result(one.begin(), one.end());
  for (int axis = 0; axis < one.rank(); ++axis) {
    if (one[axis] != other[axis]) result[static_cast<std::size_t>(axis)] = -1;
  }
  return result;
}

DType Model::input_dtype(int index) const {
  return impl_->input_dtypes[checked(index, impl_->input_dtypes.size(), "input_dtype")];
}

DType Model::output_dtype(int index) const {
  const core::FloatEnvironment environment;
  return output_of(*impl_, checked(index, impl_->output_names.size(), "output_dtype"), 2).dtype;
}

namespace {

/// Where rows of host arrays begin.
struct Rows {
  std::vector<std::byte*> data;
  std::vector<std::size_t> bytes;
  [[nodiscard]] std::vector<void*> at(std::int64_t row) const {
    std::vector<void*> result;
    for (std::size_t i = 0; i < data.size(); ++i) result.push_back(data[i] + static_cast<std::size_t>(row) * bytes[i]);
    return result;
  }
};

/// Asked between parts, never within one.
void expect_no_stop(const std::stop_token& stop, std::int64_t begun, std::int64_t rows) {
  if (!stop.stop_requested()) return;
  throw Error(ErrorCode::cancelled, core::concat("[Model::predict] cancelled when ", begun, " of ", rows, " rows were begun"));
}

/// Chunks of rows go to two sessions in turn: while one computes, the other's memory is copied.
template <typename Impl>
void predict_by_chunks(const Impl& impl, const std::shared_ptr<const model::Graph>& graph, const Prepared& in, const Rows& out,
                       const std::stop_token& stop) {
  core::cuda_backend().release_retired();
  const bool one_chunk = in.rows <= impl.options.max_batch;
  std::array<std::optional<typename Impl::Lease>, 2> lanes;
  std::array<std::int64_t, 2> begun{-1, -1};
  const auto finish = [&](std::size_t lane) {
    if (begun[lane] < 0) return;
    const auto dsts = out.at(std::exchange(begun[lane], -1));
    (*lanes[lane])->end(dsts);
    lanes[lane]->absolve();
  };
  std::size_t lane = 0;
  for (std::int64_t row = 0; row < in.rows; lane = one_chunk ? 0 : 1 - lane) {
    const std::int64_t batch = std::min(in.rows - row, impl.options.max_batch);
    finish(lane);
    if (stop.stop_requested()) {
      finish(1 - lane);
      expect_no_stop(stop, row, in.rows);
    }
    if (!lanes[lane]) lanes[lane].emplace(impl);
    std::vector<const void*> srcs;
    for (std::size_t i = 0; i < in.data.size(); ++i) srcs.push_back(in.data[i] + static_cast<std::size_t>(row) * in.row_bytes[i]);
    lanes[lane]->taint();
    (*lanes[lane])->begin(impl.program(graph, impl.bucket(batch)), srcs, batch);
    begun[lane] = row;
    row += batch;
  }
  finish(lane);
  finish(1 - lane);
}

/// run(session, program, first row) for all rows on the CPU; where one thread does it, with `own` session if there is one.
template <typename Impl, typename F>
void run_in_chunks(const Impl& impl, const std::shared_ptr<const model::Graph>& graph, std::int64_t rows, model::Session* own,
                   const F& run) {
  const model::Chunks chunks = model::chunks_of(*graph, rows, impl.options.threads, impl.options.max_batch);
  if (chunks.count == 0) return;
  const auto program = impl.program(graph, chunks.rows, chunks.threads);
  const std::int64_t last_rows = chunks.last_rows(rows);
  const auto last = last_rows == chunks.rows ? program : impl.program(graph, last_rows, chunks.threads);
  const auto part = [&](model::Session& session, std::int64_t i) {
    run(session, i == chunks.count - 1 ? last : program, i * chunks.rows);
  };
  if (own != nullptr && chunks.at_once == 1) {
    for (std::int64_t i = 0; i < chunks.count; ++i) part(*own, i);
    return;
  }
  core::for_parts(chunks.count, chunks.at_once, chunks.nanoseconds, [&](std::int64_t i) {
    typename Impl::Lease session(impl);
    session.taint();
    part(*session, i);
    session.absolve();
  });
}

}  // namespace

std::vector<Tensor> Model::predict(std::span<const TensorView> inputs, const std::stop_token& stop) const {
  const core::FloatEnvironment environment;
  const Impl& impl = *impl_;
  const Prepared in = prepared(inputs, impl.input_shapes, impl.input_dtypes, impl.input_names);
  const auto graph = impl.graph(in.samples);
  std::vector<Tensor> outputs;
  Rows out;
  for (const int value : graph->outputs) {
    const model::Value& v = graph->values[static_cast<std::size_t>(value)];
    outputs.emplace_back(v.sample.prepended(in.rows), v.dtype);
    out.data.push_back(static_cast<std::byte*>(outputs.back().data()));
    out.bytes.push_back(static_cast<std::size_t>(v.sample.elements()) * size_of(v.dtype));
  }
  if (impl.options.device.is_cuda()) {
    predict_by_chunks(impl, graph, in, out, stop);
    return outputs;
  }
  run_in_chunks(impl, graph, in.rows, nullptr, [&](model::Session& session, const auto& program, std::int64_t row) {
    expect_no_stop(stop, row, in.rows);
    std::vector<const void*> srcs;
    for (std::size_t i = 0; i < in.data.size(); ++i) srcs.push_back(in.data[i] + static_cast<std::size_t>(row) * in.row_bytes[i]);
    session.run(program, srcs, out.at(row));
  });
  return outputs;
}

Tensor Model::predict(const TensorView& x, const std::stop_token& stop) const {
  LAMELLA_EXPECTS(impl_->output_names.size() == 1, argument, "[Model::predict] the model has ", impl_->output_names.size(),
                  " outputs (", listed(impl_->output_names), "); use the overload that returns all of them");
  return std::move(predict(std::span(&x, 1), stop).front());
}

std::vector<Tensor> Model::predict(const std::map<std::string, TensorView>& inputs, const std::stop_token& stop) const {
  for (const auto& [key, view] : inputs) {
    LAMELLA_EXPECTS(std::find(impl_->input_names.begin(), impl_->input_names.end(), key) != impl_->input_names.end(), value,
                    "[Model::predict] no input is called '", core::escaped(key), "'; there are: ", listed(impl_->input_names));
  }
  std::vector<TensorView> ordered;
  for (const std::string& key : impl_->input_names) {
    const auto found = inputs.find(key);
    LAMELLA_EXPECTS(found != inputs.end(), missing, "[Model::predict] input '", core::escaped(key), "' is not given");
    ordered.push_back(found->second);
  }
  return predict(ordered, stop);
}

void Model::predict_into(const TensorView& src, const MutableTensorView& dst) const { run_into(src, dst, nullptr, true); }

void Model::predict_into(const TensorView& src, const MutableTensorView& dst, void* stream) const {
  LAMELLA_EXPECTS(impl_->options.device.is_cuda(), device, "[Model::predict_into] a stream was given, the model is on ",
                  to_string(impl_->options.device), "; the CPU has none");
  // Inside, null is a session's own stream; CUDA's name for its default stream is cudaStreamLegacy, which is 1.
  run_into(src, dst, stream != nullptr ? stream : reinterpret_cast<void*>(std::uintptr_t{1}), false);
}

void Model::run_into(const TensorView& src, const MutableTensorView& dst, void* stream, bool wait) const {
  const core::FloatEnvironment environment;
  const Impl& impl = *impl_;
  LAMELLA_EXPECTS(impl.input_names.size() == 1 && impl.output_names.size() == 1, argument, "[Model::predict_into] the model has ",
                  impl.input_names.size(), " inputs and ", impl.output_names.size(), " outputs; predict_into takes one and one");
  LAMELLA_EXPECTS(src.device() == impl.options.device && dst.device() == impl.options.device, device,
                  "[Model::predict_into] src lies on ", to_string(src.device()), ", dst on ", to_string(dst.device()),
                  ", the model on ", to_string(impl.options.device), "; all must be on one: Tensor::to(device) copies");
  LAMELLA_EXPECTS(src.dtype() == impl.input_dtypes[0], dtype, "[Model::predict_into] src is ", lamella::name(src.dtype()),
                  ", the model takes ", lamella::name(impl.input_dtypes[0]), "; Tensor::to(dtype) converts");
  LAMELLA_EXPECTS(!overlap(src, dst), argument,
                  "[Model::predict_into] src and dst share memory: rows would be overwritten before they are read");
  if (impl.options.device.is_cuda()) {
    const int device = impl.options.device.index();
    core::cuda_backend().expect_device_memory(device, src.data(), "[Model::predict_into] src");
    core::cuda_backend().expect_device_memory(device, dst.data(), "[Model::predict_into] dst");
  }
  const Shape shape = accepted(src.shape(), impl.input_shapes[0], impl.input_names[0]);
  const std::int64_t rows = shape[0];
  const bool captured = !wait && core::cuda_backend().is_captured(impl.options.device.index(), stream);
  if (impl.options.device.is_cuda() && !captured) core::cuda_backend().release_retired();
  std::optional<Impl::Lease> lease;  // none in a capture, which even the choice of a session may break
  if (!captured) lease.emplace(impl, stream);
  std::vector<Shape> own_shapes;
  if (captured) own_shapes.push_back(shape.slice(1, shape.rank()));
  const auto& shapes = lease ? (*lease)->shapes_of(shape) : std::as_const(own_shapes);
  const auto graph = impl.graph(shapes);
  const model::Value& out = graph->values[static_cast<std::size_t>(graph->outputs[0])];
  LAMELLA_EXPECTS(dst.dtype() == out.dtype && dst.shape() == out.sample.prepended(rows), shape, "[Model::predict_into] dst is ",
                  lamella::name(dst.dtype()), " ", to_string(dst.shape()), ", the result is ", lamella::name(out.dtype), " ",
                  to_string(out.sample.prepended(rows)));
  if (lease) lease->taint();
  const std::size_t src_row = rows == 0 ? 0 : src.bytes() / static_cast<std::size_t>(rows);
  const std::size_t dst_row = rows == 0 ? 0 : dst.bytes() / static_cast<std::size_t>(rows);
  const auto run = [&](model::Session& on, const std::shared_ptr<const model::Program>& program, std::int64_t row) {
    const std::array<const void*, 1> srcs{static_cast<const std::byte*>(src.data()) + static_cast<std::size_t>(row) * src_row};
    const std::array<void*, 1> dsts{static_cast<std::byte*>(dst.data()) + static_cast<std::size_t>(row) * dst_row};
    on.run(program, srcs, dsts, stream);
  };
  if (impl.options.device.is_cpu()) {
    run_in_chunks(impl, graph, rows, &**lease, run);
    lease->absolve();
    return;
  }
  if (captured) {
    impl.capture_into(graph, rows, {src_row, dst_row}, stream, run);
    return;
  }
  for (std::int64_t row = 0; row < rows; row += impl.options.max_batch) {
    run(**lease, impl.program(graph, std::min(rows - row, impl.options.max_batch)), row);
  }
  if (wait) (*lease)->synchronize();
  lease->absolve();
}

Model Model::with_activation(std::string_view layer, std::string_view activation) const {
  const core::FloatEnvironment environment;
  auto spec = model::with_activation(*impl_->spec, layer, activation, impl_->options.hard_sigmoid);
  Model result(*this);
  result.impl_ = std::make_shared<const Impl>(std::move(spec), impl_->options, impl_->pool, impl_->budget);
  return result;
}

void Model::set_activation(std::string_view layer, std::string_view activation) { *this = with_activation(layer, activation); }

Model Model::with_weights(const std::string& path) const {
  const core::FloatEnvironment environment;
  return {keras::load_weights(*impl_->spec, path), impl_->options};
}

std::string Model::summary() const {
  const core::FloatEnvironment environment;
  return model::summary_of(*impl_->spec);
}

std::string Model::explain(const ExplainOptions& options) const {
  const core::FloatEnvironment environment;
  LAMELLA_EXPECTS(options.batch >= 0, value, "[Model::explain] batch: got ", options.batch, ", allowed 0..");
  const auto shapes = impl_->fixed_shapes();
  LAMELLA_EXPECTS(shapes, unsupported, "[Model::explain] the input shape of '", core::escaped(name()),
                  "' leaves extents open (None)");
  model::Explained explained{options.batch, {}, impl_->graph(*shapes), nullptr, impl_->options.device};
  if (explained.device.is_cpu()) {
    explained.chunks = model::chunks_of(*explained.graph, options.batch, impl_->options.threads, impl_->options.max_batch);
    explained.program = impl_->program(explained.graph, explained.chunks.rows, explained.chunks.threads);
  } else {
    explained.batch = impl_->bucket(options.batch);
    explained.program = impl_->program(explained.graph, explained.batch);
  }
  if (options.json) return model::explain_json(explained);
  return model::explain_text(explained, explained.device.is_cpu() ? why_no_cuda() : std::string());
}

}  // namespace lamella
