// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <array>
#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <type_traits>
#include <variant>
#include <vector>

#include <lamella/activation.hpp>
#include <lamella/dtype.hpp>
#include <lamella/tensor.hpp>

#include "core/kinds.hpp"

/// The description of a model: plain host data without behaviour, made by src/keras from a file or by the C++ builders.
namespace lamella::core {

struct LayerSpec;
struct ModelSpec;

/// Extent of an axis; empty where Keras has None.
using Extent = std::optional<std::int64_t>;

/// A dtype policy: a layer's compute type and the type of its stored variables.
struct Policy {
  DType compute = DType::float32;
  DType variable = DType::float32;
  bool follows_inputs = false;    ///< an operation between layers: its compute type is that of its inputs
  std::string quantization = {};  ///< Keras' mode with its parameters: "int8", "int4/128", "gptq/4/128"; empty: none
};

struct InputParams {
  std::vector<Extent> batch_shape;  ///< the batch axis first
  DType dtype = DType::float32;
};
enum class QuantizationMode { int8, int4, float8, gptq, awq };
/// Converts a row of x to integers: round(x * a) clipped to [low, high], where a = high / (max |x| + epsilon).
struct ActivationQuantizer {
  int low = -127;
  int high = 127;
  double epsilon = 1e-7;
};
/// How the weights of a Dense are stored and used. float8 ignores the numbers.
struct Quantization {
  QuantizationMode mode = QuantizationMode::int8;
  int bits = 8;                                         ///< bits of a weight
  std::int64_t group_size = -1;                         ///< inputs that share a scale; -1: all
  int packed_axis = 1;                                  ///< for int4: the axis along which two weights share a byte
  bool symmetric = false;                               ///< for gptq: every zero point is 2^(bits - 1)
  std::optional<ActivationQuantizer> activations = {};  ///< none: x is not quantized
};

/// Weights: kernel (inputs, units), then bias (units,) when use_bias. Quantized: those of keras::quantized_weights().
struct DenseParams {
  std::int64_t units = 0;
  bool use_bias = true;
  ActivationSpec activation;
  std::shared_ptr<const LayerSpec>
      activation_layer;  ///< a layer used as the activation (such as PReLU); then `activation` is linear
  std::optional<Quantization> quantization = {};
  std::optional<double> lora_alpha = {};  ///< the rank if not given
};
/// Activation, ReLU, LeakyReLU, ELU, Softmax, ThresholdedReLU.
struct ActivationParams {
  ActivationSpec activation;
  std::vector<int> axes;  ///< Softmax over several axes jointly; empty: activation.axis
};
/// A product over some axes of the input, written as numpy.einsum does: labels of the input's axes, the batch first, of the
/// kernel's and of the output's. Weights: kernel, [bias], which broadcasts to the last axes of the output.
struct EinsumDenseParams {
  std::string input;
  std::string kernel;
  std::string output;
  enum class Ellipsis { none, left, right } ellipsis = Ellipsis::none;  ///< further axes of input and output, on that side
  bool use_bias = false;
  ActivationSpec activation;
  std::shared_ptr<const LayerSpec> activation_layer;  ///< as in DenseParams
};
/// Weight: alpha, of the input's shape without the batch, 1 where shared.
struct PReluParams {
  bool starts_at_zero = false;  ///< alpha_initializer is Zeros
};
/// No effect at inference: Dropout and the noise layers, ActivityRegularization, Identity.
struct IdentityParams {};
struct FlattenParams {
  bool channels_first = false;
};
struct ReshapeParams {
  std::vector<std::int64_t> target;  ///< without the batch; one may be -1
};
/// Permutes the axes of a sample.
struct PermuteParams {
  std::vector<int> dims;  ///< of the input, counted from 1; the batch is 0
};
/// (channels,) to (count, channels).
struct RepeatVectorParams {
  std::int64_t count = 1;
};
/// Sets steps whose features are all `value` to 0, and attaches a mask so that later layers skip them.
struct MaskingParams {
  double value = 0.0;
  bool selects = true;  ///< as from Keras 3.15 on, masked steps become 0 whatever their value; before, they are multiplied by 0
};
/// Weights: [gamma], [beta], moving mean, moving variance; each of the extent of `axis`.
struct BatchNormalizationParams {
  int axis = -1;
  double epsilon = 1e-3;
  bool center = true;
  bool scale = true;
};
/// Weights: [gamma], [beta], of the extents of `axes` in ascending order.
struct LayerNormalizationParams {
  std::vector<int> axes{-1};
  double epsilon = 1e-3;
  bool center = true;
  bool scale = true;
  bool rms_scaling = false;
};
/// x / sqrt(mean(x^2) + epsilon) * scale, the mean over `axes`. Weight: scale, which broadcasts to the last axes.
struct RmsNormalizationParams {
  std::vector<int> axes{-1};
  double epsilon = 1e-6;
};
/// x * min(1 / |x|, 1 / epsilon), |x| the Euclidean norm over `axes`.
struct UnitNormalizationParams {
  std::vector<int> axes{-1};
  double epsilon = 1e-12;
};
/// (x - mean) / sqrt(variance + epsilon) for each group of adjacent channels. Weights: [gamma], [beta], of the extent of
/// `axis`.
struct GroupNormalizationParams {
  std::int64_t groups = 32;  ///< -1: one per channel
  int axis = -1;
  double epsilon = 1e-3;
  bool center = true;
  bool scale = true;
};
/// x * scale + offset, float64 numbers of any shapes, which broadcast as numpy does.
struct RescalingParams {
  std::shared_ptr<const Tensor> scale;
  std::shared_ptr<const Tensor> offset;
};
/// (x - mean) / max(sqrt(variance), 1e-7), or its inverse. Weights: mean, variance; adapted ones have the extents of `axes` in
/// ascending order, those of a config broadcast over these, or have as many elements.
struct NormalizationParams {
  std::vector<int> axes{-1};
  bool invert = false;
  bool given = false;  ///< mean and variance are in the config: Keras does not count them as weights
};
struct MergeParams {
  CombineKind kind = CombineKind::add;
};
struct ConcatenateParams {
  int axis = -1;
};
/// Looks up rows of a table by index. Weight: embeddings (rows, width).
struct EmbeddingParams {
  std::int64_t rows = 0;
  std::int64_t width = 0;
  bool mask_zero = false;  ///< attaches a mask where the index is 0
};
/// Sums of products along one axis of each of two inputs.
struct DotParams {
  std::vector<int> axes;   ///< of the first and of the second input
  bool normalize = false;  ///< of both inputs along their axes, as UnitNormalization
  double epsilon = 1e-7;   ///< as in UnitNormalizationParams
};
/// Applies `wrapped` to every index of the first axis after the batch.
struct TimeDistributedParams {
  std::shared_ptr<const LayerSpec> wrapped;
};
/// Two operands, broadcast as numpy does. One of them may be a constant.
struct ArithmeticParams {
  CombineKind kind = CombineKind::add;
  std::shared_ptr<const Tensor> constant;  ///< float64, on the host; null when both operands are inputs
  bool constant_first = false;
  std::optional<DType> constant_dtype;  ///< takes part in the type promotion; unset for a number or integers, which do not
};
struct CastParams {
  DType dtype = DType::float32;
};
/// In the following structs, axes count the batch as 0.
struct TransposeParams {
  std::vector<int> axes;  ///< a permutation of all axes; empty: reversed
};
struct ExpandDimsParams {
  std::vector<int> axes;  ///< axes of the result
};
struct SqueezeParams {
  std::vector<int> axes;  ///< empty: all of extent 1, except the batch
};
struct StackParams {
  int axis = 0;  ///< of the result
};
struct ReduceParams {
  ReduceKind kind = ReduceKind::sum;
  std::vector<int> axes;  ///< empty: all, including the batch
  bool keepdims = false;
  bool of_bools = false;  ///< whether all (minimum) or any (maximum) are true
};
enum class Comparison { not_equal, equal, greater, greater_equal, less, less_equal };
/// Each element compared with a number.
struct ComparisonParams {
  Comparison kind = Comparison::not_equal;
  double number = 0.0;
};
/// Logical and, or logical or, of two inputs converted to bool.
struct LogicalParams {
  bool both = false;
};
/// A constant bool in the input's shape.
struct FillParams {
  bool value = false;
};
/// The mean or maximum over the steps of (steps, channels), for each channel.
struct GlobalPoolingParams {
  ReduceKind kind = ReduceKind::mean;  ///< or maximum
  bool channels_first = false;         ///< (channels, steps)
  bool keepdims = false;
  bool selects = true;  ///< masked values become 0, as in MaskingParams
};
/// Removes steps from (steps, channels).
struct CroppingParams {
  std::int64_t before = 1;
  std::int64_t after = 1;
};
/// Adds steps of zeros around (steps, channels).
struct ZeroPaddingParams {
  std::int64_t before = 1;
  std::int64_t after = 1;
  bool channels_first = false;  ///< (channels, steps)
};
/// How numbers 0 .. depth - 1 are encoded; others are ignored.
enum class Encoding {
  integer,    ///< unchanged
  one_hot,    ///< a one-hot row for each
  multi_hot,  ///< one row for all along the last axis, with ones for the numbers that occur
  count,      ///< one row for all along the last axis, with the number of occurrences
};
struct CategoryEncodingParams {
  std::int64_t depth = 1;
  Encoding encoding = Encoding::multi_hot;
  bool in_variable_dtype = true;  ///< as in Keras 3; else in the compute dtype
};
/// Counts the boundaries that are at most x. Weight, if there are no boundaries: summary (2, any), from which Keras 2 computes
/// them.
struct DiscretizationParams {
  std::shared_ptr<const Tensor> boundaries;  ///< float32, ascending
  std::int64_t bins = 0;                     ///< the approximate number to compute from a summary
  Encoding encoding = Encoding::integer;
  DType integer = DType::int32;  ///< dtype of Encoding::integer
};
/// Keys of SipHash; without them numbers are hashed by FarmHash.
using Salt = std::optional<std::array<std::uint64_t, 2>>;
/// Maps integers to their indices in a vocabulary, or back.
struct IntegerLookupParams {
  std::shared_ptr<const Tensor> keys;    ///< int64, ascending; null until the vocabulary, stored with the weights, is read
  std::shared_ptr<const Tensor> values;  ///< int64, as many
  std::int64_t otherwise = 0;            ///< result for unknown keys; this and `hashes` are as in ops::LookupDesc
  std::int64_t hashes = 0;
  std::int64_t depth = 0;        ///< of the other encodings
  DType encoded = DType::int64;  ///< their dtype: float32 in Keras 2
  std::int64_t hashed = 0;       ///< unknown keys are hashed by their decimal text to this many indices, from `otherwise` on
  Salt salt = {};
  Encoding encoding = Encoding::integer;
  // The remaining fields are for the code that builds the table of a vocabulary.
  std::optional<std::int64_t> mask_token = {};
  std::optional<std::int64_t> oov_token = {};
  std::int64_t oov_indices = 1;
  std::int64_t padded_to = 0;  ///< minimum depth
  bool invert = false;
  bool farmhash = false;  ///< unknown numbers are hashed, not divided
  bool adapted = false;   ///< the vocabulary is not in the config but in a file beside the weights
};
/// Assigns numbers to bins, by hashes of their decimal text.
struct HashingParams {
  std::int64_t bins = 1;
  std::optional<std::int64_t> mask = {};  ///< this number alone is in bin 0
  Salt salt = {};
  Encoding encoding = Encoding::integer;
  bool in_variable_dtype = true;  ///< as in CategoryEncodingParams
};
/// One part of x[a:b:c, i, newaxis, ...].
struct SliceItem {
  enum class Kind { range, index, new_axis, ellipsis };
  Kind kind = Kind::range;
  std::optional<std::int64_t> start;  ///< start of a range, or the index
  std::optional<std::int64_t> stop;
  std::optional<std::int64_t> step;  ///< not 0
};
struct SliceParams {
  std::vector<SliceItem> items;
};
struct NestedParams {
  std::shared_ptr<const ModelSpec> model;
};

/// Every kind of parameters. A new one needs a parser in src/keras/layers, and Lowering::lower() in src/model/lower.
// clang-format off
#define LAMELLA_LAYER_PARAMS(X) X(InputParams) X(DenseParams) X(ActivationParams) X(PReluParams) X(IdentityParams) \
  X(FlattenParams) X(ReshapeParams) X(BatchNormalizationParams) X(LayerNormalizationParams) X(RescalingParams) \
  X(NormalizationParams) X(MergeParams) X(ConcatenateParams) X(NestedParams) X(EinsumDenseParams) X(PermuteParams) \
  X(RepeatVectorParams) X(MaskingParams) X(RmsNormalizationParams) X(UnitNormalizationParams) X(GroupNormalizationParams) \
  X(DotParams) X(TimeDistributedParams) X(ArithmeticParams) X(CastParams) X(TransposeParams) X(ExpandDimsParams) \
  X(SqueezeParams) X(StackParams) X(ReduceParams) X(SliceParams) X(EmbeddingParams) X(GlobalPoolingParams) X(CroppingParams) \
  X(ZeroPaddingParams) X(CategoryEncodingParams) X(DiscretizationParams) X(IntegerLookupParams) X(ComparisonParams) \
  X(LogicalParams) X(FillParams) X(HashingParams)


template <typename None, typename... Params> using OneOf = std::variant<Params...>;
#define LAMELLA_AND(Params) , Params
using LayerParams = OneOf<void LAMELLA_LAYER_PARAMS(LAMELLA_AND)>;
#undef LAMELLA_AND
// clang-format on

/// Where params hold an inner layer: an activation that is a layer, or the layer that TimeDistributed wraps. Null for other
/// classes.
template <typename Params>
[[nodiscard]] auto inner_layer(Params& params) {
  using Place =
      std::conditional_t<std::is_const_v<Params>, const std::shared_ptr<const LayerSpec>*, std::shared_ptr<const LayerSpec>*>;
  return std::visit(
      [](auto& p) -> Place {
        if constexpr (requires { p.activation_layer; }) {
          return &p.activation_layer;
        } else if constexpr (requires { p.wrapped; }) {
          return &p.wrapped;
        } else {
          return nullptr;
        }
      },
      params);
}

struct Weight {
  std::string name;                     ///< Keras' name: "kernel", "bias", "gamma", ...
  std::shared_ptr<const Tensor> value;  ///< on the host, as stored in the file
};

struct LayerSpec {
  std::string name;             ///< unique within its model
  std::string class_name;       ///< Keras' class: "Dense"
  std::string config_json;      ///< the `config` object as Keras writes it, without `activation`; "{}" when none
  std::string activation_json;  ///< the config's `activation`; empty if it has none
  std::string path;             ///< its path, for messages: "outer/inner/dense_3"
  bool trainable = true;        ///< false: frozen, with everything inside
  Policy policy;
  LayerParams params;
  std::vector<Weight> weights;  ///< in Keras' order (see each params struct)
};

/// The `output`-th result of a node.
struct ValueRef {
  int node = 0;
  int output = 0;
  friend bool operator==(const ValueRef&, const ValueRef&) = default;
};
/// One call of a layer. A layer with several nodes is shared; an Input's node has no inputs.
struct NodeSpec {
  int layer = 0;
  std::vector<ValueRef> inputs;
  std::vector<int> masks = {};  ///< the last inputs are not inputs but masks of these
  bool says_masks = false;      ///< the file says which of its inputs have a mask: those in `masks`
};

struct ModelSpec {
  std::string name;
  std::string class_name;     ///< "Sequential" or "Functional"
  std::string keras_version;  ///< of the Keras that wrote the file; empty when built in C++ or unknown
  std::vector<std::shared_ptr<const LayerSpec>> layers;
  std::vector<NodeSpec> nodes;   ///< each node comes after its inputs
  std::vector<ValueRef> inputs;  ///< nodes of InputLayers, in the order of the model's inputs
  std::vector<ValueRef> outputs;
  std::vector<std::string> input_names;   ///< of the InputLayers, or the keys of a dict; unique
  std::vector<std::string> output_names;  ///< of the layers that make the outputs, or the keys of a dict; unique
  /// The whole model as Keras 3 serializes it, {"module": ..., "class_name": ..., "config": ...}, if it was made from that.
  /// Activations may have changed since. Null for nested models. Kept as text, because a parsed document takes several
  /// times the memory; only Model::save() parses it again.
  std::shared_ptr<const std::string> config_json = nullptr;
};

/// The inner layer of a layer, see inner_layer(), and the model that a layer holds; null if there is none.
[[nodiscard]] inline const LayerSpec* layer_inside(const LayerSpec& layer) {
  const auto* const place = inner_layer(layer.params);
  return place == nullptr ? nullptr : place->get();
}
[[nodiscard]] inline const ModelSpec* nested_model(const LayerSpec& layer) {
  const auto* const nested = std::get_if<NestedParams>(&layer.params);
  return nested == nullptr ? nullptr : nested->model.get();
}

}  // namespace lamella::core
