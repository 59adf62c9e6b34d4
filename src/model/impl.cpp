// SPDX-License-Identifier: Apache-2.0
#include "model/impl.hpp"

#include <algorithm>
#include <chrono>
#include <cstdlib>
#include <utility>

#include "core/backend.hpp"
#include "core/number.hpp"
#include "core/processors.hpp"

namespace lamella {
namespace {

constexpr std::size_t kGraphs = 16;
constexpr std::size_t kIdleSessions = 64;
constexpr std::size_t kStreams = 8;  ///< sessions for as many callers' streams; more streams take turns

Options resolved(Options options) {
  options.device = resolve(options.device);
  options.threads = model::thread_count(options.threads);
  LAMELLA_EXPECTS(options.max_batch >= 1, value, "[Options] max_batch: got {}, allowed 1..", options.max_batch);
  LAMELLA_EXPECTS(std::all_of(options.reserved.begin(), options.reserved.end(), [](std::uint64_t n) { return n == 0; }), value,
                  "[Options] reserved: got a number other than 0, an option of a later version");
  LAMELLA_EXPECTS(options.cached_programs >= 1, value, "[Options] cached_programs: got 0, allowed 1..");
  LAMELLA_EXPECTS(!options.dtype || is_floating(*options.dtype), dtype,
                  "[Options] dtype: got {}, allowed float32, bfloat16, float16, float64", to_string(*options.dtype));
  if (!options.engine.empty()) {
    const auto names = core::backend(options.device).ops().engines();
    std::string list;
    for (const std::string& n : names) list += (list.empty() ? "" : ", ") + n;
    LAMELLA_EXPECTS(std::find(names.begin(), names.end(), options.engine) != names.end(), value,
                    "[Options] engine: got '{}', allowed on {}: {}", core::escaped(options.engine), to_string(options.device),
                    list);
  }
  return options;
}

/// Drops from a pool, at its end, what a failed or discarded graph has left there.
class Swept {
 public:
  explicit Swept(model::ConstantsPool& pool) : pool_(pool) {}
  ~Swept() { pool_.sweep(); }
  Swept(const Swept&) = delete;
  Swept& operator=(const Swept&) = delete;

 private:
  model::ConstantsPool& pool_;
};

}  // namespace

void core::Access::set_tuner(const Model& model, ops::Tuner& tuner) { model.impl_->tuner = &tuner; }

std::vector<std::string> engine_names(Device device) { return core::backend(resolve(device)).ops().engines(); }

int model::thread_count(int option) {
  constexpr int kMost = 1024;
  LAMELLA_EXPECTS(option >= 0 && option <= kMost, value, "[Options] threads: got {}, allowed 0..{}", option, kMost);
  if (option > 0) return option;
  if (const char* text = std::getenv("LAMELLA_THREADS"); text != nullptr && *text != '\0') {
    const int threads = core::number_in<int>(text).value_or(0);
    LAMELLA_EXPECTS(threads >= 1 && threads <= kMost, value, "LAMELLA_THREADS: got '{}', allowed 1..{}", core::escaped(text),
                    kMost);
    return threads;
  }
  return std::min(core::usable_processors(), kMost);
}

Model::Impl::Impl(std::shared_ptr<const core::ModelSpec> spec_in, const Options& options_in,
                  std::shared_ptr<model::ConstantsPool> pool_in, std::shared_ptr<core::MemoryBudget> budget_in)
    : spec(options_in.updatable ? model::with_own_weights(*spec_in) : std::move(spec_in)),
      options(resolved(options_in)),
      device_is_named(options_in.device.kind() != DeviceKind::automatic),
      pool(options_in.updatable ? std::make_shared<model::ConstantsPool>() : std::move(pool_in)),
      backend(core::backend(options.device)),
      budget(backend.traits.is_host ? nullptr : std::move(budget_in)),
      input_names(spec->input_names),
      output_names(spec->output_names) {
  for (const core::ValueRef& ref : spec->inputs) {
    const core::LayerSpec& layer =
        *spec->layers.at(static_cast<std::size_t>(spec->nodes.at(static_cast<std::size_t>(ref.node)).layer));
    const auto& params = std::get<core::InputParams>(layer.params);
    input_dtypes.push_back(model::input_dtype(params, options));
    std::vector<std::int64_t> sample;
    for (std::size_t i = 1; i < params.batch_shape.size(); ++i) sample.push_back(params.batch_shape[i].value_or(-1));
    input_shapes.push_back(std::move(sample));
  }
  if (options.updatable) updates_ = std::make_shared<model::Updates>(backend, options.device.index(), tally);
  if (const auto shapes = fixed_shapes())
    static_cast<void>(graph(*shapes));  // refuses a model that cannot run now, rather than at predict
}

std::string Model::Impl::why_no_other_device() const {
  return device_is_named || !backend.traits.is_host ? std::string() : core::why_on_the_host();
}

std::optional<std::vector<Shape>> Model::Impl::fixed_shapes() const {
  std::vector<Shape> shapes;
  for (const auto& sample : input_shapes) {
    if (std::find(sample.begin(), sample.end(), -1) != sample.end()) return std::nullopt;
    shapes.emplace_back(sample);
  }
  return shapes;
}

model::Graph Model::Impl::make_graph(const core::ModelSpec& of, const std::vector<Shape>& sample_shapes,
                                     model::ConstantsPool& constants, std::int64_t rows) const {
  model::Graph made = model::lower(of, sample_shapes, options, constants);
  model::fuse(made, constants);
  if (rows < 0 && backend.ops().most_gaining_rows(options.math) > 0) made.one_by_one = std::make_shared<const model::Graph>(made);
  stack(made, constants, rows, {1, options.device.index(), budget});
  return made;
}

void Model::Impl::stack(model::Graph& graph, model::ConstantsPool& constants, std::int64_t rows,
                        const ops::PlanContext& context) const {
  ops::OpSet& ops = backend.ops();
  if (rows >= 0 && context.tuning != Tuning::off && options.engine.empty())
    model::stack(graph, constants, model::measured_gain(graph, rows, ops, context));
  if (rows >= 0 && rows <= ops.most_gaining_rows(options.math)) {
    model::stack(graph, constants, [&](const model::Chain& chain) {
      return ops.gain(std::get<ops::StackDesc>(model::at_batch(chain.desc, rows)), context, options.engine);
    });
  }
  model::stack(graph, constants, [&](const model::Chain& chain) -> std::optional<double> {
    if (!ops.takes(chain.desc, context, options.engine)) return std::nullopt;
    return 1;  // whatever there is more of saves a launch
  });
}

std::shared_ptr<const model::Graph> Model::Impl::graph_at(const std::shared_ptr<const model::Graph>& graph, std::int64_t batch,
                                                          const ops::PlanContext& context) const {
  const std::int64_t most = backend.ops().most_gaining_rows(options.math);
  const bool weighs = context.tuning != Tuning::off && options.engine.empty() && most > 0;
  if (batch < 1 || (batch > most && !weighs)) return graph;
  const Swept swept(*pool);
  auto made = std::make_shared<model::Graph>(*graph->one_by_one);
  stack(*made, *pool, batch, context);
  const bool weighed = std::any_of(made->steps.begin(), made->steps.end(), [](const auto& step) { return step.weighed; });
  if (!weighed && made->steps.size() >= graph->steps.size()) return graph;
  std::vector<Shape> shapes;
  for (const int input : graph->inputs) shapes.push_back(graph->values[static_cast<std::size_t>(input)].sample);
  const std::lock_guard lock(mutex_);
  note_living(std::move(shapes), batch, made);
  return made;
}

void Model::Impl::note_living(std::vector<Shape> sample_shapes, std::int64_t rows,
                              const std::shared_ptr<const model::Graph>& made) const {
  if (!options.updatable) return;
  std::erase_if(living_, [](const Living& one) { return one.graph.expired(); });
  living_.push_back({std::move(sample_shapes), rows, made});
}

std::shared_ptr<const model::Graph> Model::Impl::graph(const std::vector<Shape>& sample_shapes, std::int64_t rows) const {
  {
    const std::lock_guard lock(mutex_);
    if (rows >= 0) {
      ++calls_;
      rows_ += rows;
    }
    for (const auto& [shapes, known] : graphs_) {
      if (shapes == sample_shapes) return known;
    }
  }
  const model::Preparing preparing(*tally);
  const Swept swept(*pool);
  auto made = std::make_shared<const model::Graph>(make_graph(*spec, sample_shapes, *pool));
  const std::lock_guard lock(mutex_);
  for (const auto& [shapes, known] : graphs_) {
    if (shapes == sample_shapes) return known;  // another thread was first
  }
  note_living(sample_shapes, -1, made);
  graphs_.emplace_front(sample_shapes, made);
  if (graphs_.size() > kGraphs) graphs_.pop_back();
  return made;
}

std::shared_ptr<const model::Program> Model::Impl::program(const std::shared_ptr<const model::Graph>& graph_of,
                                                           std::int64_t batch, int threads) const {
  const auto find = [&]() -> std::shared_ptr<const model::Program> {
    for (auto it = programs_.begin(); it != programs_.end(); ++it) {
      if (it->graph != graph_of || it->program->batch != batch || it->program->threads != threads) continue;
      programs_.splice(programs_.begin(), programs_, it);
      return it->program;
    }
    return nullptr;
  };
  {
    const std::lock_guard lock(mutex_);
    if (auto known = find()) return known;
  }
  const model::Preparing preparing(*tally);
  ops::PlanContext context{threads, options.device.index(), budget};
  // A measured plan keeps forms of its constants that an update would not reach.
  if (options.determinism != Determinism::batch_invariant && !options.updatable) context.tuning = options.tuning;
  std::vector<std::string> measured;
  context.tuner = tuner;
  context.measured = &measured;
  context.replays = options.graphs && !options.profile && backend.traits.captures;
  const auto begin = std::chrono::steady_clock::now();
  using Both = std::pair<std::shared_ptr<const model::Graph>, std::shared_ptr<const model::Program>>;
  const auto graph_here = graph_at(graph_of, batch, context);
  auto both =
      std::make_shared<const Both>(graph_here, model::compile(*graph_here, batch, backend.ops(), context, options.engine));
  const std::shared_ptr<const model::Program> made(both, both->second.get());
  if (core::is_logging()) {
    const std::chrono::duration<double, std::milli> time = std::chrono::steady_clock::now() - begin;
    core::log(LogLevel::info, "'{}' is planned for {} rows in {:.3g} ms: {}", core::escaped(spec->name), batch, time.count(),
              model::steps_text(*made));
  }
  const std::lock_guard lock(mutex_);
  if (auto known = find()) return known;
  programs_.push_front({graph_of, made});
  if (programs_.size() > options.cached_programs) {
    programs_.pop_back();
    if (!std::exchange(is_dropping_, true))
      core::log(LogLevel::warning,
                "'{}' is called with more batch sizes than Options::cached_programs, {}: each that was dropped is planned again",
                core::escaped(spec->name), options.cached_programs);
  }
  return made;
}

Model::Impl::Lease::Lease(const Impl& impl, void* native) : impl_(impl) {
  const std::uint64_t stream = native == nullptr ? 0 : impl.backend.stream_id(impl.options.device.index(), native);
  {
    const std::lock_guard lock(impl.mutex_);
    auto& idle = impl.sessions_;
    auto best = std::find_if(idle.rbegin(), idle.rend(), [&](const auto& one) { return one->last_stream() == stream; });
    // A session of another stream: one whose work is done, the oldest first; or any, if there are too many.
    if (best == idle.rend()) {
      const auto done = std::find_if(idle.begin(), idle.end(), [](const auto& one) { return one->is_idle(); });
      if (done != idle.end()) best = std::make_reverse_iterator(std::next(done));
      if (done == idle.end() && idle.size() >= kStreams) best = std::prev(idle.rend());
    }
    if (best != idle.rend()) {
      session_ = std::move(*best);
      idle.erase(std::next(best).base());
    }
  }
  if (!session_) {
    const model::Preparing preparing(*impl.tally);
    session_ = std::make_unique<model::Session>(
        model::SessionOptions{impl.backend, impl.options.device.index(), impl.options.cached_programs, impl.options.graphs,
                              impl.options.profile, impl.budget, impl.tally, impl.updates_});
  }
}

Model::Impl::Lease::~Lease() {
  if (tainted_) return;
  std::unique_ptr<model::Session> least;
  const std::lock_guard lock(impl_.mutex_);
  try {
    if (impl_.sessions_.size() == kIdleSessions) {
      least = std::move(impl_.sessions_.front());  // destroyed after the lock is released
      impl_.sessions_.erase(impl_.sessions_.begin());
    }
    impl_.sessions_.push_back(std::move(session_));
  } catch (const std::bad_alloc&) {  // drops the session; the next caller creates one
  }
}

}  // namespace lamella
