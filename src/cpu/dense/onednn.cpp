// SPDX-License-Identifier: Apache-2.0
#include "cpu/dense/onednn.hpp"

#include <oneapi/dnnl/dnnl.hpp>

#include <array>
#include <mutex>
#include <vector>

#include "cpu/threads.hpp"

namespace lamella::cpu::onednn {
namespace {

using Dt = dnnl::memory::data_type;
using Tag = dnnl::memory::format_tag;

const dnnl::engine& cpu_engine() {
  static const dnnl::engine engine(dnnl::engine::kind::cpu, 0);
  return engine;
}

Dt type_of(DType dtype) { return dtype == DType::bfloat16 ? Dt::bf16 : Dt::f32; }

struct PostOp {
  dnnl_alg_kind_t algorithm = dnnl_alg_kind_undef;
  float alpha = 0;
  float beta = 0;
};

constexpr dnnl_alg_kind_t dnnl_eltwise_NONE = dnnl_alg_kind_undef;

PostOp post_op_of(const ActivationSpec& spec) {
  [[maybe_unused]] const auto p0 = static_cast<float>(spec.parameters[0]);
  switch (spec.kind) {
#define LAMELLA_POST_OP(algorithm, alpha, beta) \
  PostOp { dnnl_eltwise_##algorithm, static_cast<float>(alpha), static_cast<float>(beta) }
#define LAMELLA_ELEMENTWISE(Kind, name, parameters, formula, onednn, ...) \
  case ActivationKind::Kind:                                              \
    return LAMELLA_POST_OP onednn;
#include <lamella/activation.def>
#undef LAMELLA_POST_OP
    default:
      return {};
  }
}

dnnl::primitive_attr attributes(const ProductDesc& desc) {
  dnnl::primitive_attr attr;
  attr.set_scratchpad_mode(dnnl::scratchpad_mode::user);
  if (desc.activation != nullptr && desc.activation->kind != ActivationKind::Linear) {
    const PostOp op = post_op_of(*desc.activation);
    dnnl::post_ops ops;
    const auto algorithm = static_cast<dnnl::algorithm>(op.algorithm);
#if DNNL_VERSION_MAJOR >= 3
    ops.append_eltwise(algorithm, op.alpha, op.beta);
#else
    ops.append_eltwise(1.0F, algorithm, op.alpha, op.beta);
#endif
    attr.set_post_ops(ops);
  }
  return attr;
}

/// Throws std::bad_alloc or Error (internal) for anything but success.
void expect_success(dnnl_status_t status, const char* what) {
  if (status == dnnl_out_of_memory) throw std::bad_alloc();
  LAMELLA_ASSERT(status == dnnl_success, "oneDNN failed with status ", static_cast<int>(status), ": ", what);
}

dnnl::inner_product_forward::primitive_desc describe(const ProductDesc& d) {
  const dnnl::memory::desc src({d.batch, d.inputs}, type_of(d.src), Tag::nc);
  const dnnl::memory::desc kernel({d.units, d.inputs}, type_of(d.src), Tag::any);
  const dnnl::memory::desc bias = d.bias ? dnnl::memory::desc({d.units}, Dt::f32, Tag::a) : dnnl::memory::desc();
  const dnnl::memory::desc dst({d.batch, d.units}, type_of(d.dst), Tag::nc);
#if DNNL_VERSION_MAJOR >= 3
  return {cpu_engine(), dnnl::prop_kind::forward_inference, src, kernel, bias, dst, attributes(d)};
#else
  constexpr auto kInference = dnnl::prop_kind::forward_inference;
  using Forward = dnnl::inner_product_forward;
  return {d.bias ? Forward::desc(kInference, src, kernel, bias, dst) : Forward::desc(kInference, src, kernel, dst), attributes(d),
          cpu_engine()};
#endif
}

/// Packed kernels of one layer: most batch sizes agree on a layout.
struct Packs {
  std::mutex mutex;
  std::vector<std::shared_ptr<dnnl::memory>> kernels;
};

std::shared_ptr<dnnl::memory> pack(const dnnl::memory::desc& wanted, const ProductDesc& d, const ConstantsPtr& constants) {
  const auto make = [] { return std::static_pointer_cast<const void>(std::make_shared<Packs>()); };
  const ops::Form form{.layout = ops::Form::Layout::onednn, .rounded_to = d.rounded_to};
  const auto packs = std::static_pointer_cast<Packs>(std::const_pointer_cast<void>(constants->derived(form, make)));
  const std::lock_guard lock(packs->mutex);
  for (const auto& kernel : packs->kernels) {
    if (kernel->get_desc() == wanted) return kernel;
  }
  const auto plain = constant_as<float>(constants, 0, d.rounded_to);
  const dnnl::memory::desc plain_desc({d.units, d.inputs}, Dt::f32, Tag::ba);  // [inputs, units], row-major
  dnnl::memory from(plain_desc, cpu_engine(), const_cast<float*>(plain.get()));
  auto to = std::make_shared<dnnl::memory>(wanted, cpu_engine());
  dnnl::stream stream(cpu_engine());
  dnnl::reorder(from, *to).execute(stream, from, *to);
  stream.wait();
  packs->kernels.push_back(to);
  return to;
}

struct State final : ops::PlanState {
  dnnl::stream stream{cpu_engine()};
  std::vector<dnnl::memory> memories;  // src, dst, scratchpad, kernel, then bias
  std::vector<dnnl_exec_arg_t> args;

  void add(int index, const dnnl::memory::desc& desc, void* data) {
    memories.emplace_back(desc, cpu_engine(), data);
    args.push_back({index, memories.back().get()});
  }
};

}  // namespace

struct Product::Impl {
  dnnl::inner_product_forward::primitive_desc desc;
  dnnl::inner_product_forward primitive;
  std::size_t scratch_bytes = 0;
  std::shared_ptr<dnnl::memory> kernel;
  std::shared_ptr<const float> bias;
};

bool has_activation(const ActivationSpec& activation) { return post_op_of(activation).algorithm != dnnl_alg_kind_undef; }

std::string why_not(const ProductDesc& desc) {
  if (desc.batch == 0 || desc.inputs == 0 || desc.units == 0) return "oneDNN wants sizes above 0";
  if (desc.activation != nullptr && !has_activation(*desc.activation)) {
    return core::concat("oneDNN has no '", name(desc.activation->kind), "' by Keras' formula");
  }
  try {
    const OneOmpThread one;
    (void)describe(desc);
    return {};
  } catch (const dnnl::error& e) {
    // It has loops for float32 on every machine: what is missing then is memory, and another engine would give other bits.
    if (e.status == dnnl_out_of_memory || desc.src == DType::float32) throw std::bad_alloc();
    return core::concat("oneDNN cannot do it on this machine: ", e.what());
  }
}

Product::Product(const ProductDesc& desc, const ConstantsPtr& constants) {
  try {
    const OneOmpThread one;
    impl_ = std::make_unique<Impl>();
    impl_->desc = describe(desc);
    impl_->primitive = dnnl::inner_product_forward(impl_->desc);
    impl_->scratch_bytes = impl_->desc.scratchpad_desc().get_size();
    impl_->kernel = pack(impl_->desc.weights_desc(), desc, constants);
    if (desc.bias) impl_->bias = constant_as<float>(constants, 1, desc.rounded_to);
  } catch (const dnnl::error& e) {
    expect_success(e.status, e.what());
    throw;
  }
}
Product::~Product() = default;
Product::Product(Product&&) noexcept = default;

std::size_t Product::scratch_bytes() const noexcept { return impl_->scratch_bytes; }

std::unique_ptr<ops::PlanState> Product::make_state() const {
  auto state = std::make_unique<State>();
  state->add(DNNL_ARG_SRC, impl_->desc.src_desc(), nullptr);
  state->add(DNNL_ARG_DST, impl_->desc.dst_desc(), nullptr);
  state->add(DNNL_ARG_SCRATCHPAD, impl_->desc.scratchpad_desc(), nullptr);
  state->add(DNNL_ARG_WEIGHTS, impl_->kernel->get_desc(), impl_->kernel->get_data_handle());
  if (impl_->bias) state->add(DNNL_ARG_BIAS, impl_->desc.bias_desc(), const_cast<float*>(impl_->bias.get()));
  return state;
}

void Product::execute(void* dst, const void* src, void* scratch, ops::PlanState* state) const {
  auto& s = *static_cast<State*>(state);
  const OneOmpThread one;
  const std::array<void*, 3> pointers{const_cast<void*>(src), dst, scratch};
  for (std::size_t i = 0; i < pointers.size(); ++i) dnnl_memory_set_data_handle(s.args[i].memory, pointers[i]);
  const dnnl_status_t status =
      dnnl_primitive_execute(impl_->primitive.get(), s.stream.get(), static_cast<int>(s.args.size()), s.args.data());
  expect_success(status, "execution");
}

}  // namespace lamella::cpu::onednn
