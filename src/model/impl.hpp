// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <functional>
#include <list>
#include <map>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include <lamella/model.hpp>

#include "core/mutex.hpp"
#include "model/chunks.hpp"
#include "model/session.hpp"

namespace lamella {

/// What a Model and its copies share. Everything but the caches is fixed after construction.
struct Model::Impl {
  Impl(std::shared_ptr<const core::ModelSpec> spec, const Options& options, std::shared_ptr<model::ConstantsPool> pool,
       std::shared_ptr<core::MemoryBudget> budget);

  std::shared_ptr<const core::ModelSpec> spec;
  Options options;  ///< device resolved, threads at least 1
  std::shared_ptr<model::ConstantsPool> pool;
  std::shared_ptr<core::MemoryBudget> budget;
  ops::OpSet& ops;
  std::vector<std::string> input_names;
  std::vector<std::string> output_names;
  std::vector<std::vector<std::int64_t>> input_shapes;  ///< of a sample, -1 where Keras has None
  std::vector<DType> input_dtypes;                      ///< of the program's inputs

  /// The graph for these sample shapes, lowered and fused; made once.
  std::shared_ptr<const model::Graph> graph(const std::vector<Shape>& sample_shapes) const;
  /// The sample shapes when the model leaves none open.
  [[nodiscard]] std::optional<std::vector<Shape>> fixed_shapes() const;
  std::shared_ptr<const model::Program> program(const std::shared_ptr<const model::Graph>& graph, std::int64_t batch,
                                                int threads = 1) const;

  /// The rows of the program that predict() runs for so many rows of host memory. On CUDA small batches are padded to one of few
  /// sizes: less time goes into planning and capturing than the padding costs.
  [[nodiscard]] std::int64_t bucket(std::int64_t rows) const;

  /// Of one row of memory.
  struct RowBytes {
    std::size_t input = 0;
    std::size_t output = 0;
  };
  using Run = std::function<void(model::Session&, const std::shared_ptr<const model::Program>&, std::int64_t first_row)>;
  /// Puts the work of predict_into() for `rows` rows into the graph that is being captured on `stream`, a cudaStream_t of the
  /// caller's; `run` runs a part of them. Throws what predict_into() does; the capture is the caller's to end.
  void capture_into(const std::shared_ptr<const model::Graph>& graph, std::int64_t rows, const RowBytes& bytes, void* stream,
                    const Run& run) const;

  /// A session of this thread's for as long as this object lives. Left by an exception, the session is not used again, but for
  /// keep_on_error().
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
  struct Cached {
    std::shared_ptr<const model::Graph> graph;
    std::shared_ptr<const model::Program> program;
  };
  mutable core::Mutex mutex_;
  mutable std::list<std::pair<std::vector<Shape>, std::shared_ptr<const model::Graph>>> graphs_;
  mutable std::list<Cached> programs_;  ///< most recently used first
  mutable std::vector<std::unique_ptr<model::Session>> sessions_;
};

namespace model {

/// True for a Normalization whose mean and variance stand in its config: Keras has no weights there.
[[nodiscard]] bool has_given_statistics(const core::LayerSpec& layer);
/// The shape of a value as Keras writes it: "(None, 3)"; -1 is None too.
[[nodiscard]] std::string shape_text(std::span<const std::int64_t> sample);
/// The table that Keras' summary() prints.
[[nodiscard]] std::string summary_of(const core::ModelSpec& spec);
/// What explain() shows: `batch` rows, gone through in chunks by a program.
struct Explained {
  std::int64_t batch = 0;
  Chunks chunks;
  std::shared_ptr<const Graph> graph;
  std::shared_ptr<const Program> program;
  Device device;
};
/// For people, or as JSON.
[[nodiscard]] std::string explain_text(const Explained& explained, const std::string& why_this_device);
[[nodiscard]] std::string explain_json(const Explained& explained);
/// Threads that a call may use: the option, else LAMELLA_THREADS, else one per core. Throws ArgumentError (value).
[[nodiscard]] int thread_count(int option);
/// `spec` with the activation of one layer replaced, wherever that layer stands; "hard_sigmoid" is that of the model's Keras.
[[nodiscard]] std::shared_ptr<const core::ModelSpec> with_activation(const core::ModelSpec& spec, std::string_view layer,
                                                                     std::string_view activation,
                                                                     HardSigmoid hard_sigmoid = HardSigmoid::as_written);

}  // namespace model
}  // namespace lamella
