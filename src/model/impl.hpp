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
#include "core/log.hpp"
#include "core/mutex.hpp"
#include "model/call.hpp"
#include "model/gate.hpp"
#include "model/rows.hpp"
#include "model/session.hpp"

namespace lamella {
namespace model {

/// What explain() shows: a program that processes `batch` rows in chunks.
struct Explained {
  std::int64_t batch = 0;
  Chunks chunks;
  std::shared_ptr<const Program> program;
  Device device;
  std::string tuning = {};  ///< why the file of measurements is not used; empty if it is used, or not requested
};

/// A model with other weights, and which Tensor replaced which.
struct NewWeights {
  std::shared_ptr<const core::ModelSpec> spec;
  std::map<std::shared_ptr<const Tensor>, std::shared_ptr<const Tensor>> replaced;
};

}  // namespace model

/// State shared by a Model and its copies. Everything except the caches is fixed after construction.
struct Model::Impl {
  Impl(std::shared_ptr<const core::ModelSpec> spec, const Options& options, std::shared_ptr<model::ConstantsPool> pool,
       std::shared_ptr<core::MemoryBudget> budget);

  std::shared_ptr<const core::ModelSpec> spec;
  Options options;       ///< device resolved, threads at least 1
  bool device_is_named;  ///< named by the caller: explain() does not say why no other device is used
  std::shared_ptr<model::ConstantsPool> pool;
  core::Backend& backend;
  std::shared_ptr<core::MemoryBudget> budget;  ///< null if Options::memory_limit does not apply
  std::shared_ptr<model::Tally> tally = std::make_shared<model::Tally>();
  mutable ops::Tuner* tuner = nullptr;  ///< null: the process's; tests set their own before the first call
  std::vector<std::string> input_names;
  std::vector<std::string> output_names;
  std::vector<std::vector<std::int64_t>> input_shapes;  ///< sample shapes, -1 where Keras has None
  std::vector<DType> input_dtypes;                      ///< of the program's inputs

  /// What kept Device::automatic() from another device than the host; empty if the caller named one, or nothing did.
  [[nodiscard]] std::string why_no_other_device() const;
  /// The graph for these sample shapes, lowered and fused; created once. `rows`, unless -1: also counts a call of this many
  /// rows, under the lock that is taken anyway.
  std::shared_ptr<const model::Graph> graph(const std::vector<Shape>& sample_shapes, std::int64_t rows = -1) const;
  /// The sample shapes, if the model leaves none open.
  [[nodiscard]] std::optional<std::vector<Shape>> fixed_shapes() const;
  /// The program keeps its graph alive.
  std::shared_ptr<const model::Program> program(const std::shared_ptr<const model::Graph>& graph, std::int64_t batch,
                                                int threads = 1) const;

  /// Held by a call while weights are read, so that no update changes them; delivers what was logged when the call has ended.
  struct Reading {
    core::LogDelivery delivery;
    model::Gate::Passage passage;
  };
  [[nodiscard]] Reading reading() const { return {{}, model::Gate::Passage(options.updatable ? &gate_ : nullptr)}; }
  /// Implements both Model::update_weights(): on `stream` if not null.
  void update_weights(const std::map<std::string, TensorView>& values, void* stream) const;

  /// The arguments of predict(), in the model's shapes and dtypes, and memory for its results. Throws ArgumentError.
  [[nodiscard]] model::HostArrays checked(std::span<const TensorView> inputs) const;

  /// The two forms of predict_into(): on the caller's arguments, and on `stream` if not null.
  void run_into(std::span<const TensorView> srcs, std::span<const MutableTensorView> dsts, void* stream) const;
  /// Until `stop` is requested.
  void run_into(std::span<const TensorView> srcs, std::span<const MutableTensorView> dsts, const std::stop_token& stop) const;
  /// `stream`, or the caller's default stream for null. Throws ArgumentError (device), which begins with `caller`, a member of
  /// Model, if the device has no streams.
  [[nodiscard]] void* stream_of_caller(void* stream, const char* caller) const;

  [[nodiscard]] ModelStats stats() const;
  [[nodiscard]] MemoryBytes memory_bytes() const;

  class Lease;
  /// Runs a call, dividing its rows (in rows.cpp, like the next five). `own`: the caller's session for it, or
  /// null.
  void run(const model::Call& call, Lease* own) const;
  /// Does what the first calls with these numbers of rows would do.
  void prepare(const std::shared_ptr<const model::Graph>& graph, std::span<const std::int64_t> calls) const;
  /// What explain() shows for a call of `rows` rows.
  [[nodiscard]] model::Explained explained(const std::shared_ptr<const model::Graph>& graph, std::int64_t rows) const;
  [[nodiscard]] model::Chunks chunks(const model::Graph& graph, std::int64_t rows) const;
  /// The batch size of the program that predict() runs for `rows` staged rows: if the device has graphs, small batches are padded
  /// to one of a few sizes, which costs less than planning and capturing each.
  [[nodiscard]] std::int64_t padded(std::int64_t rows) const;
  /// Adds the work of a call to the graph that is being captured on its stream. Throws what predict_into() does; the caller ends
  /// the capture.
  void capture(const model::Call& call) const;

  /// Lends a session to this thread while this object lives. A session that is tainted at the end is not reused.
  class Lease {
   public:
    /// Prefers a session that last worked on `native`, then one whose work is done, because they need not wait for another
    /// stream.
    explicit Lease(const Impl& impl, void* native = nullptr);
    ~Lease();
    Lease(const Lease&) = delete;
    Lease& operator=(const Lease&) = delete;
    /// Called before work begins: until absolved, the session may hold half of the work, and must not be reused.
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
  /// Common part of both run_into(); inlined to stay within the allowed number of frames (FramesTest).
  [[gnu::always_inline]] void run_into_until(const std::stop_token* stop, std::span<const TensorView> srcs,
                                             std::span<const MutableTensorView> dsts, void* stream) const;
  /// The shape of an input's samples. Sets the number of rows, which all inputs of a call share.
  Shape sample_of(const TensorView& x, std::size_t input, const char* call, std::int64_t& rows) const;
  void prepare_staged(const std::shared_ptr<const model::Graph>& graph, std::span<const std::int64_t> calls) const;

  /// Lowered and fused, including steps that the device merges: for any number of rows or, unless -1, for `rows`.
  [[nodiscard]] model::Graph make_graph(const core::ModelSpec& of, const std::vector<Shape>& sample_shapes,
                                        model::ConstantsPool& constants, std::int64_t rows = -1) const;
  /// Merges the steps that the device takes together, for any number of rows or, unless -1, for `rows`; by measurements where
  /// there are some and `context` allows them, else by prediction.
  void stack(model::Graph& graph, model::ConstantsPool& constants, std::int64_t rows, const ops::PlanContext& context) const;
  /// The graph of programs of `batch` rows: `graph`, or one with other steps if predictions or measurements say so.
  [[nodiscard]] std::shared_ptr<const model::Graph> graph_at(const std::shared_ptr<const model::Graph>& graph, std::int64_t batch,
                                                             const ops::PlanContext& context) const;
  /// The values as weights of the model, those on the device as they are after the work already enqueued on `stream`.
  [[nodiscard]] model::NewWeights new_weights(const std::map<std::string, TensorView>& values, void* stream) const;
  /// The writes after which everything that runs has the weights of `changed`. Throws ArgumentError (unsupported).
  [[nodiscard]] ops::Writes renewed(const model::NewWeights& changed) const;

  struct Cached {
    std::shared_ptr<const model::Graph> graph;
    std::shared_ptr<const model::Program> program;
  };
  void note_living(std::vector<Shape> sample_shapes, std::int64_t rows, const std::shared_ptr<const model::Graph>& made) const;
  mutable core::Mutex mutex_;
  mutable std::int64_t calls_ = 0;
  mutable std::int64_t rows_ = 0;
  mutable std::list<std::pair<std::vector<Shape>, std::shared_ptr<const model::Graph>>> graphs_;
  /// For an updatable model: all graphs that may still run, and what make_graph() made them of.
  struct Living {
    std::vector<Shape> sample_shapes;
    std::int64_t rows;
    std::weak_ptr<const model::Graph> graph;
  };
  mutable std::vector<Living> living_;
  mutable std::list<Cached> programs_;  ///< most recently used first
  mutable bool is_dropping_ = false;    ///< programs, which was logged
  mutable std::vector<std::unique_ptr<model::Session>> sessions_;
  mutable model::Gate gate_;
  std::shared_ptr<model::Updates> updates_;  ///< null if not updatable
};

namespace model {

/// The model of a file, ready to run. Messages begin with `path`. Throws LoadError if shapes inside the model do not fit, and as
/// Model::load() does for the options.
[[nodiscard]] Model made_of(std::shared_ptr<const core::ModelSpec> spec, const Options& options, std::string_view path);
/// Whether a Normalization has mean and variance in its config: Keras then has no weights.
[[nodiscard]] bool has_given_statistics(const core::LayerSpec& layer);
/// A layer of the outermost model by its name, as in Keras; else the only one of this path, else the only one of this name.
/// Throws ArgumentError (value), which begins with `caller`, a member of Model.
[[nodiscard]] const core::LayerSpec& layer_called(const core::ModelSpec& spec, std::string_view wanted, std::string_view caller);
/// `spec` cut off after one layer, found the same way, whose outputs become the model's; layers that do not lead there are
/// removed.
[[nodiscard]] std::shared_ptr<const core::ModelSpec> ending_at(const core::ModelSpec& spec, std::string_view layer);
/// The table that Keras' summary() prints.
[[nodiscard]] std::string summary_of(const core::ModelSpec& spec);
/// "2 dense by panels, 1 softmax by rowwise".
[[nodiscard]] std::string steps_text(const Program& program);
/// As a table, or as JSON.
[[nodiscard]] std::string explain_text(const Explained& explained, const std::string& why_this_device);
[[nodiscard]] std::string explain_json(const Explained& explained);
/// Throws ArgumentError, which begins with `caller`, a member of Model, unless each value fits the weight of its name,
/// "path/name", and is on the host or on `device`.
void expect_values(const core::ModelSpec& spec, const std::map<std::string, TensorView>& values, std::string_view caller,
                   Device device);
/// `spec` with these values, which must be on the host. Throws as expect_values() does.
[[nodiscard]] NewWeights with_values(const core::ModelSpec& spec, const std::map<std::string, TensorView>& values,
                                     std::string_view caller);
/// `spec` with copies of all its weights.
[[nodiscard]] std::shared_ptr<const core::ModelSpec> with_own_weights(const core::ModelSpec& spec);
/// Threads that a call may use: the option, else LAMELLA_THREADS, else core::usable_processors(). Throws ArgumentError (value).
[[nodiscard]] int thread_count(int option);
/// `spec` with the activation of one layer replaced, wherever that layer is; "hard_sigmoid" is that of the model's version of
/// Keras.
[[nodiscard]] std::shared_ptr<const core::ModelSpec> with_activation(const core::ModelSpec& spec, std::string_view layer,
                                                                     std::string_view activation,
                                                                     HardSigmoid hard_sigmoid = HardSigmoid::as_written);
/// The same with parameters: exactly this function.
[[nodiscard]] std::shared_ptr<const core::ModelSpec> with_activation(const core::ModelSpec& spec, std::string_view layer,
                                                                     const ActivationSpec& activation);

}  // namespace model
}  // namespace lamella
