// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>
#include <cstdint>
#include <initializer_list>
#include <iosfwd>
#include <map>
#include <memory>
#include <optional>
#include <span>
#include <stop_token>
#include <string>
#include <string_view>
#include <vector>

#include <lamella/activation.hpp>
#include <lamella/error.hpp>
#include <lamella/export.hpp>
#include <lamella/options.hpp>
#include <lamella/tensor.hpp>

namespace lamella {
namespace core {
struct Access;
struct ModelSpec;
}  // namespace core

/// Description of one layer.
struct LayerInfo {
  std::string name;
  std::string class_name;                                   ///< Keras' class: "Dense"
  std::string path;                                         ///< "outer/inner/dense" inside nested models
  std::string config;                                       ///< JSON text of the layer's config, as Keras writes it
  std::vector<std::pair<std::string, TensorView>> weights;  ///< name and host memory; valid while the Model lives
  /// The type in which the layer computes, an InputLayer's own type, unless Options::dtype says another. Empty for nested models
  /// and for operations, whose types follow from their inputs.
  std::optional<DType> compute_dtype = std::nullopt;
};

/// Sizes for Model::explain().
struct ExplainOptions {
  std::int64_t batch = 32;  ///< rows of the call to explain, 0 or more
  bool json = false;        ///< JSON text instead of a table
};

/// Bytes of memory, from Model::memory_bytes().
struct MemoryBytes {
  std::size_t host = 0;
  std::size_t device = 0;  ///< of a CUDA device; 0 on the CPU
};

/// What a Model has done and keeps, from Model::stats().
struct ModelStats {
  std::int64_t calls = 0;     ///< calls of predict() and predict_into() whose inputs were accepted
  std::int64_t rows = 0;      ///< rows of these calls
  std::int64_t programs = 0;  ///< kept now: one per batch size
  std::int64_t sessions = 0;  ///< kept now, including those in callers' graphs; each has the memory that one thread needs
  std::int64_t graphs = 0;    ///< CUDA graphs that sessions captured for themselves and keep now
  /// Time spent since this Model was made on what later calls need not do again: planning, tuning, packing weights, making
  /// sessions, capturing graphs. It is part of the first call with a number of rows, unless prepare() was called. Calls are not
  /// timed: reading a clock twice would make the smallest ones noticeably slower.
  double preparing_seconds = 0;
};

/// A Keras model, ready to run on one device. Immutable, except for update_weights(): any number of threads may call const
/// functions at once. Copies share everything; moving copies, so a Model is never empty.
class LAMELLA_API Model {
 public:
  /// Reads a .keras archive (or its unpacked directory) or a legacy .h5 file; the content decides, not the extension.
  /// Throws LoadError for the file, ArgumentError for the options, DeviceError for the device.
  [[nodiscard]] static Model load(const std::string& path, const Options& options = {});
  /// The same from the bytes of such a file, which are copied. Messages begin with "(memory)".
  [[nodiscard]] static Model load(std::span<const std::byte> file, const Options& options = {});
  /// The same from the position of a binary stream to its end: standard input, a socket, an archive of one's own. Its state and
  /// its exception mask are not changed.
  [[nodiscard]] static Model load(std::istream& file, const Options& options = {});
  Model(const Model&) noexcept;
  Model& operator=(const Model&) noexcept;
  ~Model();

  /// Keras' name of the model.
  [[nodiscard]] const std::string& name() const noexcept LAMELLA_LIFETIMEBOUND;
  /// Where it runs: never `automatic`.
  [[nodiscard]] Device device() const noexcept;
  /// Names of the inputs (of their InputLayers) and outputs (of the layers that make them), or their keys if the model has dicts
  /// of them; in the model's order.
  [[nodiscard]] const std::vector<std::string>& input_names() const noexcept LAMELLA_LIFETIMEBOUND;
  [[nodiscard]] const std::vector<std::string>& output_names() const noexcept LAMELLA_LIFETIMEBOUND;
  /// Extents of one sample of an input or output, without the batch; -1 where Keras has None. These four throw ArgumentError
  /// (value) for an index that does not exist.
  [[nodiscard]] std::vector<std::int64_t> input_shape(int index = 0) const;
  [[nodiscard]] std::vector<std::int64_t> output_shape(int index = 0) const;
  /// The element type of an input, which predict_into() requires and predict() converts to; and the element type of an output.
  [[nodiscard]] DType input_dtype(int index = 0) const;
  [[nodiscard]] DType output_dtype(int index = 0) const;

  /// The output for x of shape (rows, ...), any number of rows. x and the result are host memory, also where the model is on a
  /// GPU; returns when the result is complete. Any dtype is converted to the input's, as Tensor::to(dtype) does; the result has
  /// the dtype of the model's output. Large inputs run in batches (of Options::max_batch rows, or fewer on the CPU); if `stop` is
  /// requested, no further batch starts. For models with one input and one output. Throws ArgumentError (shape, device,
  /// argument), DeviceError, Error (cancelled, out_of_memory).
  [[nodiscard]] Tensor predict(const TensorView& x, const std::stop_token& stop = {}) const;
  /// The same for float32 elements.
  [[nodiscard]] Tensor predict(std::span<const float> x, const Shape& shape) const { return predict(TensorView(x, shape)); }
  /// Several inputs in the model's order; every output in the model's order.
  [[nodiscard]] std::vector<Tensor> predict(std::span<const TensorView> inputs, const std::stop_token& stop = {}) const;
  /// The same, written predict({a, b}); predict({a}) returns a list as well.
  [[nodiscard]] std::vector<Tensor> predict(std::initializer_list<TensorView> inputs, const std::stop_token& stop = {}) const {
    return predict(std::span(inputs.begin(), inputs.size()), stop);
  }
  /// Several inputs by name. Also throws ArgumentError: value (no input of that name), missing (an input is not given).
  [[nodiscard]] std::vector<Tensor> predict(const std::map<std::string, TensorView>& inputs,
                                            const std::stop_token& stop = {}) const;
  /// Does in advance what the first calls with these numbers of rows (1..) would do: chooses engines and packs weights; on CUDA
  /// also allocates buffers, initialises the libraries, and captures what predict() runs as CUDA graphs, so that later
  /// predict() calls of one thread allocate and capture nothing. What still captures later: the second predict_into() with the
  /// same pointers, and predict() by more threads at once than before. Throws ArgumentError (value; unsupported: the model leaves
  /// its input shape open), DeviceError, Error (out_of_memory).
  void prepare(std::span<const std::int64_t> batches) const;

  /// Writes into the caller's memory: src of shape (rows, ...), dst of the output's shape for as many rows. Dtypes and device
  /// must be exactly the model's: nothing is converted, and nothing is allocated once a program for this batch size exists and
  /// each calling thread has a session. More than Options::max_batch rows run in batches. Returns when dst is complete. On a GPU
  /// src must be complete, and no work on your streams may still use dst: this call does not wait for them (the calls with a
  /// stream below do). Throws ArgumentError (shape, dtype, device; argument: an output shares memory with an input or another
  /// output, or their number is wrong), DeviceError, Error (out_of_memory).
  void predict_into(const TensorView& src, const MutableTensorView& dst) const;
  /// Several inputs and outputs in the model's order.
  void predict_into(std::span<const TensorView> srcs, std::span<const MutableTensorView> dsts) const;
  /// The same until `stop` is requested: then no further batch starts, and dsts hold only some of the rows. Also throws Error
  /// (cancelled).
  void predict_into(std::span<const TensorView> srcs, std::span<const MutableTensorView> dsts, const std::stop_token& stop) const;
  /// The same, written predict_into({a, b}, {y}).
  void predict_into(std::initializer_list<TensorView> srcs, std::initializer_list<MutableTensorView> dsts) const {
    predict_into(std::span(srcs.begin(), srcs.size()), std::span(dsts.begin(), dsts.size()));
  }
  /// The same by name, in any order: predict_into({{"a", x}, {"b", z}}, {{"y", y}}). Every input and output is given; two small
  /// lists are allocated. Also throws ArgumentError, before anything is written: value (no input or output of that name), missing
  /// (one is not given).
  void predict_into(const std::map<std::string, TensorView>& srcs, const std::map<std::string, MutableTensorView>& dsts,
                    const std::stop_token& stop = {}) const;
  /// The same on a CUDA device, enqueued on `stream` (a cudaStream_t of the model's device; null: CUDA's default stream): runs
  /// after the work already enqueued there, and returns at once without waiting or copying. src and dst must live until the work
  /// is done. Calls with the same pointers replay a CUDA graph. The stream and this Model may both be destroyed before the work
  /// completes. Throws as above before anything is enqueued, and ArgumentError (device) where the model is on the CPU. Errors of
  /// the work itself show at the caller's next synchronisation.
  /// If the stream is being captured, the work becomes part of the caller's graph. That graph owns its memory, and keeps it until
  /// the last executable graph made from it is destroyed; it may run concurrently with any other call, but not with itself. Such
  /// a call allocates, and waits for a warm-up; prepare(), or an earlier call with as many rows, does the planning.
  void predict_into(const TensorView& src, const MutableTensorView& dst, void* stream) const;
  void predict_into(std::span<const TensorView> srcs, std::span<const MutableTensorView> dsts, void* stream) const;
  void predict_into(std::initializer_list<TensorView> srcs, std::initializer_list<MutableTensorView> dsts, void* stream) const {
    predict_into(std::span(srcs.begin(), srcs.size()), std::span(dsts.begin(), dsts.size()), stream);
  }
  void predict_into(const std::map<std::string, TensorView>& srcs, const std::map<std::string, MutableTensorView>& dsts,
                    void* stream) const;

  /// Keras' summary table, with the totals of trainable and other weights; if there is a hard_sigmoid, says which one runs.
  [[nodiscard]] std::string summary() const;
  /// What will run: for each step the layers it came from, the engine, what was fused, which engines refused and why, bytes,
  /// flops, workspace. Throws ArgumentError (value: the batch; unsupported: the model leaves its input shape open), DeviceError.
  [[nodiscard]] std::string explain(const ExplainOptions& options = {}) const;
  /// The number of elements of all weights.
  [[nodiscard]] std::int64_t count_params() const;
  /// Memory in use now by weights, constants, the packed copies that engines made of them, and sessions' buffers; not the memory
  /// of the system and the vendors' libraries. Weights and constants are shared with the models that with_activation() and
  /// output_of() make, and are counted in each; so is all device memory.
  [[nodiscard]] MemoryBytes memory_bytes() const;
  /// Counted since this Model was made, together with its copies.
  [[nodiscard]] ModelStats stats() const;

  /// Every layer in the model's order, those of nested models after the layer that holds them.
  [[nodiscard]] std::vector<LayerInfo> layers() const LAMELLA_LIFETIMEBOUND;
  /// By its path ("outer/inner/dense"; for a layer of this model itself, its name), else by its name if only one layer of the
  /// nested models has it. Throws ArgumentError (value) if there is none or more than one, listing the paths.
  [[nodiscard]] LayerInfo get_layer(std::string_view name) const LAMELLA_LIFETIMEBOUND;
  /// All weights in the order of Keras' get_weights() for unquantized, unfrozen models: layer by layer, without the `count` of an
  /// adapted Normalization. Valid while the Model lives.
  [[nodiscard]] std::vector<TensorView> weights() const LAMELLA_LIFETIMEBOUND;
  /// This model with the activation of one Dense or Activation layer, found as by get_layer(), replaced; weights are shared, not
  /// copied. Throws ArgumentError (value): no such layer, no such activation, or a layer without one.
  [[nodiscard]] Model with_activation(std::string_view layer, std::string_view activation) const;
  /// The same with parameters, as in with_activation("dense", ActivationSpec::leaky_relu(0.05)). get_layer() then shows the
  /// config that Keras reads: a name, a layer such as LeakyReLU, or an operation of keras.ops. Throws ArgumentError (value) for
  /// numbers that no version of Keras accepts, and for kinds that are not activations.
  [[nodiscard]] Model with_activation(std::string_view layer, const ActivationSpec& activation) const;
  /// The same, in place: later calls on this object see it; calls running in other threads on copies do not.
  void set_activation(std::string_view layer, std::string_view activation);
  void set_activation(std::string_view layer, const ActivationSpec& activation);
  /// A model with the same inputs whose outputs are those of one layer, found as by get_layer(), in nested models too. Later
  /// layers are removed; weights are shared, not copied. Throws ArgumentError: value (no such layer),
  /// unsupported (it is called more than once, or is inside a TimeDistributed).
  [[nodiscard]] Model output_of(std::string_view layer) const;
  /// Writes the model as Keras 3 does: NAME.keras, with config and weights, or NAME.weights.h5. Keras then computes the same
  /// results. An existing file is replaced once everything is written. Options are not saved. Throws ArgumentError: value (any
  /// other name), unsupported (anything that Keras would read differently, such as a Keras 2 config); Error (io).
  void save(const std::string& path) const;
  /// This model with the weights of a file: .weights.h5, .weights.json with its shards, or a whole model, all of whose weights
  /// must be there; or an .npz or .safetensors file, as load_weights() reads it, which may hold some. Throws LoadError.
  [[nodiscard]] Model with_weights(const std::string& path) const;
  /// This model with new values, copied from host memory, for some weights. Each is named by its layer's path and Keras' name of
  /// the weight, "outer/dense/kernel", as layers() lists them; all others are shared. A floating type is converted to the
  /// weight's. Where a value changed, engines are chosen and kernels packed again. Throws ArgumentError: value (no weight of that
  /// name, or more than one), shape, dtype, device.
  [[nodiscard]] Model with_weights(const std::map<std::string, TensorView>& weights) const;
  /// The same in place, for models with Options::updatable: values are written wherever they are read, including packed kernels,
  /// device memory and constants folded from several layers. Nothing is planned or captured; results have the bits of a model
  /// loaded with these weights. Copies of this Model, and views of its weights, show the new values; models made by
  /// with_activation(), output_of() or with_weights() do not.
  /// Values may also be complete memory of the model's CUDA device; they are copied to the host, where weights are
  /// packed. Waits for running calls of other threads, and for the work that they enqueued on streams; calls that start meanwhile
  /// wait. Does not wait for the caller's own graphs that contain calls of this model, or for readers of views of its weights.
  /// Throws what with_weights() throws; ArgumentError (unsupported): the model is not updatable, or these values change which
  /// layers can be folded. All weights are then unchanged. After a DeviceError the model must not be used.
  void update_weights(const std::map<std::string, TensorView>& weights);
  /// The same on a CUDA device, enqueued on `stream` (a cudaStream_t of the model's device; null: CUDA's default stream): the new
  /// values take effect after the work already enqueued there and before what follows, on any stream, for this model's calls in
  /// the order in which they are made. So calls enqueued before compute with the old values, and later ones with the new.
  /// Graphs of the caller that contain such calls are ordered by the stream alone. The host is not kept waiting for the work on
  /// `stream`, except for values in device memory, which are read after it, and for the previous update on a stream. `weights`,
  /// and on return the stream and this Model, may be destroyed at once. Also throws ArgumentError: device (the model is on the
  /// CPU), unsupported (the stream is being captured).
  void update_weights(const std::map<std::string, TensorView>& weights, void* stream);

 private:
  friend struct core::Access;
  struct Impl;
  /// Throws ArgumentError for the options, DeviceError for the device.
  Model(std::shared_ptr<const core::ModelSpec> spec, const Options& options);
  explicit Model(std::shared_ptr<const Impl> impl) noexcept;
  std::shared_ptr<const Impl> impl_;
};

}  // namespace lamella
