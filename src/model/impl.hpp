// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <list>
#include <map>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include <lamella/model.hpp>

#include "core/access.hpp"
#include "core/mutex.hpp"
#include "model/call.hpp"
#include "model/gate.hpp"
#include "model/rows.hpp"
#include "model/session.hpp"

namespace lamella {
namespace model {

/// What explain() shows: `batch` rows, gone through in chunks by a program.
struct Explained {
  std::int64_t batch = 0;
  Chunks chunks;
  std::shared_ptr<const Graph> graph;
  std::shared_ptr<const Program> program;
  Device device;
  std::string tuning = {};  ///< why the file of measurements is not used; empty where it is, or where none is asked for
};

}  // namespace model

/// What a Model and its copies share. Everything but the caches is fixed after construction.
struct Model::Impl {
  Impl(std::shared_ptr<const core::ModelSpec> spec, const Options& options, std::shared_ptr<model::ConstantsPool> pool,
       std::shared_ptr<core::MemoryBudget> budget);

  std::shared_ptr<const core::ModelSpec> spec;
  Options options;       ///< device resolved, threads at least 1
  bool device_is_named;  ///< rather than chosen: nobody asks why it is this one
  std::shared_ptr<model::ConstantsPool> pool;
  core::Backend& backend;
  std::shared_ptr<core::MemoryBudget> budget;  ///< null where Options::memory_limit counts nothing
  std::shared_ptr<model::Tally> tally = std::make_shared<model::Tally>();
  std::vector<std::string> input_names;
  std::vector<std::string> output_names;
  std::vector<std::vector<std::int64_t>> input_shapes;  ///< of a sample, -1 where Keras has None
  std::vector<DType> input_dtypes;                      ///< of the program's inputs

  /// The graph for these sample shapes, lowered and fused; made once. `rows`, not -1: of a call, which is counted, under a lock
  /// that is taken anyway.
  std::shared_ptr<const model::Graph> graph(const std::vector<Shape>& sample_shapes, std::int64_t rows = -1) const;
  /// The sample shapes when the model leaves none open.
  [[nodiscard]] std::optional<std::vector<Shape>> fixed_shapes() const;
  /// It keeps its graph.
  std::shared_ptr<const model::Program> program(const std::shared_ptr<const model::Graph>& graph, std::int64_t batch,
                                                int threads = 1) const;

  /// Held while weights are read, which no update changes then.
  [[nodiscard]] model::Gate::Passage reading() const { return model::Gate::Passage(options.updatable ? &gate_ : nullptr); }
  /// What Model::update_weights() does.
  void update_weights(const std::map<std::string, TensorView>& values) const;

  /// The arguments of predict(), in the model's shapes and dtypes, and memory for its results. Throws ArgumentError.
  [[nodiscard]] model::HostArrays checked(std::span<const TensorView> inputs) const;

  /// The two calls of predict_into(): with arguments of the caller's, and, where `stream` is not null, on it.
  void run_into(std::span<const TensorView> srcs, std::span<const MutableTensorView> dsts, void* stream) const;
  /// Until `stop` is requested.
  void run_into(std::span<const TensorView> srcs, std::span<const MutableTensorView> dsts, const std::stop_token& stop) const;
  /// `stream`, or the caller's default stream for null. Throws ArgumentError (device) where the device has no streams.
  [[nodiscard]] void* stream_of_caller(void* stream) const;

  [[nodiscard]] ModelStats stats() const;
  [[nodiscard]] MemoryBytes memory_bytes() const;

  class Lease;
  /// Runs a call, however its rows are divided (rows.cpp, as the next five). `own`: a session that the caller has for it, or
  /// null.
  void run(const model::Call& call, Lease* own) const;
  /// What later calls of these numbers of rows would do first.
  void prepare(const std::shared_ptr<const model::Graph>& graph, std::span<const std::int64_t> calls) const;
  /// What explain() shows for a call of `rows` rows.
  [[nodiscard]] model::Explained explained(const std::shared_ptr<const model::Graph>& graph, std::int64_t rows) const;
  [[nodiscard]] model::Chunks chunks(const model::Graph& graph, std::int64_t rows) const;
  /// The batch size of the program that predict() runs for `rows` staged rows: where the device has graphs, small batches are
  /// padded to one of few sizes, which costs less than planning and capturing each.
  [[nodiscard]] std::int64_t padded(std::int64_t rows) const;
  /// Puts the work of a call into the graph that is being captured on its stream. Throws what predict_into() does; the capture is
  /// the caller's to end.
  void capture(const model::Call& call) const;

  /// A session of this thread's for as long as this object lives. A session that is tainted then is not used again.
  class Lease {
   public:
    /// Prefers a session that worked on `native` last, then one whose work is done: they need not wait for another stream.
    explicit Lease(const Impl& impl, void* native = nullptr);
    ~Lease();
    Lease(const Lease&) = delete;
    Lease& operator=(const Lease&) = delete;
    /// Before work begins: until it is absolved the session may hold half of it, and then it is not used again.
    void taint() noexcept { tainted_ = true; }
    void absolve() noexcept { tainted_ = false; }
    model::Session* operator->() const { return session_.get(); }
    model::Session& operator*() const { return *session_; }

   private:
    const Impl& impl_;
    bool tainted_ = false;
    std::unique_ptr<model::Session> session_;
  };

 private:
  void expect_arrays(std::span<const TensorView> srcs, std::span<const MutableTensorView> dsts) const;
  /// Both run_into(); inlined, as one more frame would be one more than there may be (tests/cuda/frames_test.cpp).
  [[gnu::always_inline]] void run_into_until(const std::stop_token* stop, std::span<const TensorView> srcs,
                                             std::span<const MutableTensorView> dsts, void* stream) const;
  /// The shape of an input's samples. Sets the number of rows, which all inputs of a call share.
  Shape sample_of(const TensorView& x, std::size_t input, const char* call, std::int64_t& rows) const;
  void prepare_staged(const std::shared_ptr<const model::Graph>& graph, std::span<const std::int64_t> calls) const;

  /// Lowered, fused, and with what the device takes together in one step.
  [[nodiscard]] model::Graph make_graph(const core::ModelSpec& of, const std::vector<Shape>& sample_shapes,
                                        model::ConstantsPool& constants) const;
  /// What puts the weights of `spec` into everything that runs. Throws ArgumentError (unsupported).
  [[nodiscard]] std::vector<ops::Packed::Commit> renewed(const core::ModelSpec& changed) const;

  struct Cached {
    std::shared_ptr<const model::Graph> graph;
    std::shared_ptr<const model::Program> program;
  };
  mutable core::Mutex mutex_;
  mutable std::int64_t calls_ = 0;
  mutable std::int64_t rows_ = 0;
  mutable std::list<std::pair<std::vector<Shape>, std::shared_ptr<const model::Graph>>> graphs_;
  /// Of an updatable model: all graphs that something may still run, with their sample shapes.
  mutable std::vector<std::pair<std::vector<Shape>, std::weak_ptr<const model::Graph>>> living_;
  mutable std::list<Cached> programs_;  ///< most recently used first
  mutable std::vector<std::unique_ptr<model::Session>> sessions_;
  mutable model::Gate gate_;
};

namespace model {

/// What a file holds, ready to run. `path` begins messages. Throws LoadError where shapes inside the model do not fit, and as
/// Model::load() for the options.
[[nodiscard]] Model made_of(std::shared_ptr<const core::ModelSpec> spec, const Options& options, std::string_view path);
/// True for a Normalization whose mean and variance stand in its config: Keras has no weights there.
[[nodiscard]] bool has_given_statistics(const core::LayerSpec& layer);
/// A layer of the outermost model by its name, as in Keras; else the only one of this path, else the only one of this name.
/// Throws ArgumentError (value), which begins with `caller`, a member of Model.
[[nodiscard]] const core::LayerSpec& layer_called(const core::ModelSpec& spec, std::string_view wanted, std::string_view caller);
/// `spec` as far as one layer, found so, whose outputs are then its own; layers that do not lead there are left out.
[[nodiscard]] std::shared_ptr<const core::ModelSpec> ending_at(const core::ModelSpec& spec, std::string_view layer);
/// The table that Keras' summary() prints.
[[nodiscard]] std::string summary_of(const core::ModelSpec& spec);
/// For people, or as JSON.
[[nodiscard]] std::string explain_text(const Explained& explained, const std::string& why_this_device);
[[nodiscard]] std::string explain_json(const Explained& explained);
/// A model with other weights: which Tensor took the place of which.
struct NewWeights {
  std::shared_ptr<const core::ModelSpec> spec;
  std::map<std::shared_ptr<const Tensor>, std::shared_ptr<const Tensor>> replaced;
};
/// Weights by their names, "path/name". Throws ArgumentError, which begins with `caller`, a member of Model.
[[nodiscard]] NewWeights with_values(const core::ModelSpec& spec, const std::map<std::string, TensorView>& values,
                                     std::string_view caller);
/// `spec` with copies of all its weights.
[[nodiscard]] std::shared_ptr<const core::ModelSpec> with_own_weights(const core::ModelSpec& spec);
/// Threads that a call may use: the option, else LAMELLA_THREADS, else core::usable_processors(). Throws ArgumentError (value).
[[nodiscard]] int thread_count(int option);
/// `spec` with the activation of one layer replaced, wherever that layer stands; "hard_sigmoid" is that of the model's Keras.
[[nodiscard]] std::shared_ptr<const core::ModelSpec> with_activation(const core::ModelSpec& spec, std::string_view layer,
                                                                     std::string_view activation,
                                                                     HardSigmoid hard_sigmoid = HardSigmoid::as_written);
/// The same with parameters: exactly this function.
[[nodiscard]] std::shared_ptr<const core::ModelSpec> with_activation(const core::ModelSpec& spec, std::string_view layer,
                                                                     const ActivationSpec& activation);

}  // namespace model
}  // namespace lamella
