// SPDX-License-Identifier: Apache-2.0
#include "model/graph.hpp"

#include <limits>
#include <numeric>

#include "ops/quantized_dense.hpp"

namespace lamella::model {
namespace {

template <typename... F>
struct Overload : F... {
  using F::operator()...;
};
template <typename... F>
Overload(F...) -> Overload<F...>;  // clang 14 does not find it by itself

std::int64_t times(std::int64_t a, std::int64_t b) {
  const auto product = core::checked_mul(a, b);
  LAMELLA_EXPECTS(product, overflow, "[predict] {} x {} elements do not fit into 64 bits", a, b);
  return *product;
}

/// A saturating amount of 0 or more, for display.
class Amount {
 public:
  Amount(std::int64_t value) noexcept : value_(value) {}  // NOLINT(google-explicit-constructor): a number
  [[nodiscard]] std::int64_t value() const noexcept { return value_; }
  friend Amount operator+(const Amount& a, const Amount& b) noexcept {
    return core::checked_add(a.value_, b.value_).value_or(kMost);
  }
  friend Amount operator*(const Amount& a, const Amount& b) noexcept {
    return core::checked_mul(a.value_, b.value_).value_or(kMost);
  }

 private:
  static constexpr std::int64_t kMost = std::numeric_limits<std::int64_t>::max();
  std::int64_t value_;
};

/// For a Dense layer, or one in a stack.
template <typename Layer>
Amount flops_of_dense(std::int64_t batch, const Layer& layer) {
  const std::int64_t epilogue = (layer.has_bias ? 1 : 0) + (layer.activation.kind != ActivationKind::Linear ? 1 : 0);
  return Amount(batch) * layer.units * (Amount(2) * layer.inputs + epilogue);
}

Amount width(DType dtype) { return static_cast<std::int64_t>(size_of(dtype)); }

}  // namespace

std::shared_ptr<const ops::Constants> ConstantsPool::get(const Values& values) {
  const std::lock_guard lock(mutex_);
  if (const auto known = known_.find(values); known != known_.end()) {
    if (auto constants = known->second.lock()) return constants;
  }
  auto constants = std::make_shared<const ops::Constants>(values);  // before adding an entry, so that failures leave none
  known_[values] = constants;
  return constants;
}

std::shared_ptr<const Tensor> ConstantsPool::computed(const Recipe& recipe, const std::function<Tensor()>& make) {
  const std::lock_guard lock(mutex_);
  if (const auto known = computed_.find(recipe); known != computed_.end()) {
    if (auto tensor = known->second.lock()) return tensor;
  }
  auto tensor = std::make_shared<const Tensor>(make());
  computed_[recipe] = tensor;
  return tensor;
}

void ConstantsPool::sweep() {
  const std::lock_guard lock(mutex_);
  const auto gone = [](const auto& entry) { return entry.second.expired(); };
  // Erasing a key may release the last reference to another recipe's tensor.
  while (std::erase_if(known_, gone) + std::erase_if(computed_, gone) != 0) {
  }
}

void ConstantsPool::forget_computed() {
  const std::lock_guard lock(mutex_);
  computed_.clear();
}

std::size_t ConstantsPool::add_tensors(std::set<const Tensor*>& tensors) {
  std::size_t packed = 0;
  const std::lock_guard lock(mutex_);
  for (const auto& [recipe, made] : computed_) {
    if (const auto tensor = made.lock()) tensors.insert(tensor.get());
  }
  for (const auto& [values, known] : known_) {
    const auto constants = known.lock();
    if (!constants) continue;
    packed += constants->packed_bytes();
    for (const auto& value : constants->values()) tensors.insert(value.get());
  }
  return packed;
}

void append_layers(Step& to, const Step& step) {
  for (const std::string& layer : step.layers) {
    if (to.layers.empty() || to.layers.back() != layer) to.layers.push_back(layer);
  }
}

void sweep(Graph& graph, const std::vector<bool>& gone) {
  std::size_t kept = 0;
  for (std::size_t i = 0; i < graph.steps.size(); ++i) {
    if (gone[i]) continue;
    if (kept != i) graph.steps[kept] = std::move(graph.steps[i]);
    ++kept;
  }
  graph.steps.resize(kept);
}

ops::Desc at_batch(const ops::Desc& desc, std::int64_t batch) {
  const auto scale = [&](Shape& shape) { shape = shape.with(0, times(shape[0], batch)); };
  ops::Desc result = desc;
  std::visit(Overload{
                 [&](ops::CombineDesc& d) {
                   scale(d.dst);
                   for (std::size_t k = 0; k < d.srcs.size(); ++k) {
                     if (static_cast<int>(k) != d.constant) scale(d.srcs[k]);
                   }
                 },
                 [&](ops::SliceDesc& d) {
                   scale(d.src);
                   scale(d.dst);
                 },
                 [&](ops::TransposeDesc& d) { scale(d.src); },
                 [&](ops::GatherDesc& d) { d.indices = times(d.indices, batch); },
                 [&](auto& d) {
                   if constexpr (requires { d.batch; })
                     d.batch = times(d.batch, batch);
                   else if constexpr (requires { d.outer; })
                     d.outer = times(d.outer, batch);
                   else
                     d.elements = times(d.elements, batch);
                 },
             },
             result);
  return result;
}

std::int64_t bytes_of(const ops::Desc& desc) {
  return std::visit(Overload{
                        [](const ops::DenseDesc& d) {
                          const Amount batch = d.batch;
                          return width(d.dtype) *
                                 (batch * d.inputs + Amount(d.inputs) * d.units + batch * d.units + (d.has_bias ? d.units : 0));
                        },
                        [](const ops::StackDesc& d) {
                          Amount elements = Amount(d.batch) * d.layers.front().inputs + Amount(d.batch) * d.layers.back().units;
                          for (const auto& layer : d.layers) {
                            if (layer.is_dense)
                              elements = elements + Amount(layer.inputs) * layer.units + (layer.has_bias ? layer.units : 0);
                          }
                          return width(d.dtype) * elements;
                        },
                        [](const ops::RowwiseDesc& d) {
                          const std::int64_t n = d.outer * d.length * d.inner;
                          return width(d.dtype) * (Amount(n) + (d.kind == ActivationKind::Glu ? n / 2 : n));
                        },
                        [](const ops::LayerNormalizationDesc& d) { return width(d.dtype) * 2 * d.outer * d.length; },
                        [](const ops::AffineDesc& d) { return width(d.dtype) * 2 * d.outer * d.sample.elements(); },
                        [](const ops::PReluDesc& d) { return width(d.dtype) * 2 * d.outer * d.sample.elements(); },
                        [](const ops::CombineDesc& d) {
                          return width(d.dtype) *
                                 std::accumulate(d.srcs.begin(), d.srcs.end(), Amount(d.dst.elements()),
                                                 [](const Amount& sum, const Shape& s) { return sum + s.elements(); });
                        },
                        [](const ops::ReduceDesc& d) { return width(d.dtype) * d.outer * (Amount(d.length) + 1) * d.inner; },
                        [](const ops::ConcatDesc& d) {
                          return width(d.dtype) * 2 * d.outer * std::accumulate(d.extents.begin(), d.extents.end(), Amount(0));
                        },
                        [](const ops::SliceDesc& d) { return width(d.dtype) * 2 * d.dst.elements(); },
                        [](const ops::TransposeDesc& d) { return width(d.dtype) * 2 * d.src.elements(); },
                        [](const ops::CastDesc& d) { return (width(d.from) + width(d.to)) * d.elements; },
                        [](const ops::InnerProductsDesc& d) {
                          return width(d.dtype) * d.batch *
                                 (Amount(d.left) * d.length + Amount(d.right) * d.length + Amount(d.left) * d.right);
                        },
                        [](const ops::GatherDesc& d) { return (width(d.index) + width(d.dtype) * 2 * d.width) * d.indices; },
                        [](const ops::BucketDesc& d) { return (width(d.from) + width(DType::int64)) * d.elements; },
                        [](const ops::LookupDesc& d) { return width(DType::int64) * 2 * d.elements; },
                        [](const ops::HashDesc& d) { return width(DType::int64) * 2 * d.elements; },
                        [](const ops::CountDesc& d) { return (width(d.index) * d.length + width(d.dtype) * d.depth) * d.outer; },
                        [](const ops::QuantizedDenseDesc& d) {
                          const Amount rows = Amount(d.batch) * d.inputs + Amount(d.batch) * d.units;
                          const Amount numbers = Amount(d.units) * ((d.groups > 0 ? 2 * d.groups : 1) + (d.has_bias ? 1 : 0));
                          return Amount(d.inputs) * weight_row(d) + width(d.dtype) * (rows + numbers);
                        },
                        [](const auto& d) { return width(d.dtype) * 2 * d.elements; },  // element by element
                    },
                    desc)
      .value();
}

std::int64_t flops_of(const ops::Desc& desc) {
  return std::visit(
             Overload{
                 [](const ops::DenseDesc& d) { return flops_of_dense(d.batch, d); },
                 [](const ops::StackDesc& d) {
                   Amount sum = d.softmax ? Amount(4) * d.batch * d.layers.back().units : Amount(0);
                   for (const auto& layer : d.layers) {
                     sum = sum + (layer.is_dense  ? flops_of_dense(d.batch, layer)
                                  : layer.joins() ? Amount(0)
                                                  : Amount(d.batch) * layer.units);
                     if (layer.added != ops::StackDesc::kNothing) sum = sum + Amount(d.batch) * layer.units;
                   }
                   return sum;
                 },
                 [](const ops::ActivationDesc& d) { return Amount(d.elements); },
                 [](const ops::RowwiseDesc& d) { return Amount(4) * d.outer * d.length * d.inner; },
                 [](const ops::LayerNormalizationDesc& d) { return Amount(7) * d.outer * d.length; },
                 [](const ops::AffineDesc& d) { return Amount(2) * d.outer * d.sample.elements(); },
                 [](const ops::PReluDesc& d) { return Amount(2) * d.outer * d.sample.elements(); },
                 [](const ops::CombineDesc& d) { return Amount(d.dst.elements()) * static_cast<std::int64_t>(d.srcs.size()); },
                 [](const ops::ReduceDesc& d) { return Amount(d.outer) * d.length * d.inner; },
                 [](const ops::InnerProductsDesc& d) { return Amount(2) * d.batch * d.left * d.right * d.length; },
                 [](const ops::QuantizedDenseDesc& d) { return Amount(d.batch) * d.units * (Amount(2) * d.inputs + 2); },
                 [](const ops::QuantizeDequantizeDesc& d) { return Amount(4) * d.elements; },
                 [](const auto&) { return Amount(0); },
             },
             desc)
      .value();
}

std::string op_name(const ops::Desc& desc) {
  return std::visit(Overload{
                        [](const ops::ActivationDesc& d) { return "activation " + std::string(to_string(d.activation.kind)); },
                        [](const ops::RowwiseDesc& d) { return std::string(to_string(d.kind)); },
                        [](const ops::LayerNormalizationDesc& d) {
                          constexpr const char* kNames[] = {"layer_normalization", "layer_normalization", "rms_normalization",
                                                            "unit_normalization"};
                          return std::string(kNames[static_cast<int>(d.kind)]);
                        },
                        [](const ops::CountDesc& d) { return std::string(d.binary ? "one-hot" : "count"); },
                        [](const ops::CombineDesc& d) {
                          if (d.srcs.size() == 1) return std::string("broadcast");
                          constexpr const char* kNames[] = {"add",     "subtract", "multiply", "average", "maximum",
                                                            "minimum", "divide",   "power",    "where"};
                          return std::string(kNames[static_cast<int>(d.kind)]);
                        },
                        [](const ops::ReduceDesc& d) {
                          constexpr const char* kNames[] = {"sum", "mean", "product", "maximum", "minimum"};
                          return core::format("{} along an axis", kNames[static_cast<int>(d.kind)]);
                        },
                        [](const ops::CastDesc& d) {
                          return d.from == d.to ? std::string("copy")
                                                : core::format("cast {} to {}", to_string(d.from), to_string(d.to));
                        },
                        []<typename D>(const D&) { return std::string(D::kName); },
                    },
                    desc);
}

}  // namespace lamella::model
