// SPDX-License-Identifier: Apache-2.0
#include "cpu/dense/onednn.hpp"

#include <array>
#include <atomic>
#include <optional>
#include <utility>
#include <vector>

#include "core/mutex.hpp"
#include "cpu/dense/onednn_door.hpp"

namespace lamella::cpu::onednn {
namespace {

using Dt = dnnl::memory::data_type;
using Tag = dnnl::memory::format_tag;

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
  LAMELLA_ASSERT(status == dnnl_success, "oneDNN failed with status {}: {}", static_cast<int>(status), what);
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

/// Packed kernels of one layer: most batch sizes use the same layout.
struct Packs {
  core::Mutex mutex;
  std::vector<std::shared_ptr<dnnl::memory>> kernels;
};

using MemoryPtr = std::shared_ptr<dnnl::memory>;

/// The kernel (inputs, units) in the layout `wanted`. Needs a Door.
MemoryPtr reordered(const dnnl::memory::desc& wanted, std::int64_t inputs, std::int64_t units, DType rounded_to,
                    const ConstantsPtr& constants) {
  const auto plain = constant_as<float>(constants, 0, rounded_to);
  const dnnl::memory::desc plain_desc({units, inputs}, Dt::f32, Tag::ba);  // [inputs, units], row-major
  dnnl::memory from(plain_desc, cpu_engine(), const_cast<float*>(plain.get()));
  auto to = std::make_shared<dnnl::memory>(wanted, cpu_engine());
  Door::expect_memory();
  dnnl::stream stream(cpu_engine());
  dnnl::reorder(from, *to).execute(stream, from, *to);
  stream.wait();
  return to;
}

/// What has to be written into the packs, so that they hold the kernel of `other`.
ops::Writes renewed(Packs& packs, std::int64_t inputs, std::int64_t units, DType rounded_to, const ConstantsPtr& other) try {
  ops::Writes writes;
  const Door door;
  const std::lock_guard lock(packs.mutex);
  for (const MemoryPtr& kernel : packs.kernels) {
    const MemoryPtr made = reordered(kernel->get_desc(), inputs, units, rounded_to, other);
    writes.push_back({{kernel, kernel->get_data_handle()}, {made, made->get_data_handle()}, kernel->get_desc().get_size()});
  }
  return writes;
} catch (const Ended&) {
  return {};  // no plan reads the packs any more
} catch (const dnnl::error& e) {
  expect_success(e.status, e.what());
  throw;
}

MemoryPtr pack(const dnnl::memory::desc& wanted, const ProductDesc& d, const ConstantsPtr& constants) {
  const auto make = [&]() -> ops::Packed {
    const auto made = std::make_shared<Packs>();
    return {made, [made, inputs = d.inputs, units = d.units, rounded_to = d.rounded_to](const ConstantsPtr& other) {
              return renewed(*made, inputs, units, rounded_to, other);
            }};
  };
  const ops::Form form{.layout = ops::Form::Layout::onednn, .rounded_to = d.rounded_to};
  const auto packs = std::static_pointer_cast<Packs>(std::const_pointer_cast<void>(constants->derived(form, make)));
  const std::lock_guard lock(packs->mutex);
  for (const auto& kernel : packs->kernels) {
    if (kernel->get_desc() == wanted) return kernel;
  }
  auto to = reordered(wanted, d.inputs, d.units, d.rounded_to, constants);
  packs->kernels.push_back(to);
  constants->note_packed(wanted.get_size());
  return to;
}

struct State final : ops::PlanState {
  dnnl::stream stream;
  std::vector<dnnl::memory> memories;  // empty at process exit; else src, dst, scratchpad, kernel, then bias
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
  std::atomic<bool> has_run{false};

  dnnl_status_t run(const State& state) const {
    return dnnl_primitive_execute(primitive.get(), state.stream.get(), static_cast<int>(state.args.size()), state.args.data());
  }
  bool first_run(const State& state);
};

bool has_activation(const ActivationSpec& activation) { return post_op_of(activation).algorithm != dnnl_alg_kind_undef; }

std::string why_not(const ProductDesc& desc) {
  if (desc.batch == 0 || desc.inputs == 0 || desc.units == 0) return "oneDNN needs sizes above 0";
  if (desc.activation != nullptr && !has_activation(*desc.activation)) {
    return core::format("oneDNN has no '{}' with Keras' formula", to_string(desc.activation->kind));
  }
  try {
    const Door door;
    (void)describe(desc);
    return {};
  } catch (const Ended&) {
    return {};  // then plans are made without oneDNN
  } catch (const dnnl::error& e) {
    // oneDNN supports float32 on every machine, so this failure means lack of memory; another engine would give different bits.
    if (e.status == dnnl_out_of_memory || desc.src == DType::float32) throw std::bad_alloc();
    return core::format("oneDNN does not support it on this machine: {}", e.what());
  }
}

Product::Product(const ProductDesc& desc, const ConstantsPtr& constants) {
  try {
    impl_ = std::make_unique<Impl>();
    const Door door;
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

std::size_t Product::scratch_bytes() const noexcept { return impl_->scratch_bytes; }

std::unique_ptr<ops::PlanState> Product::make_state() const try {
  auto state = std::make_unique<State>();
  const Door door;
  state->stream = dnnl::stream(cpu_engine());
  state->add(DNNL_ARG_SRC, impl_->desc.src_desc(), nullptr);
  state->add(DNNL_ARG_DST, impl_->desc.dst_desc(), nullptr);
  state->add(DNNL_ARG_SCRATCHPAD, impl_->desc.scratchpad_desc(), nullptr);
  state->add(DNNL_ARG_WEIGHTS, impl_->kernel->get_desc(), impl_->kernel->get_data_handle());
  if (impl_->bias) state->add(DNNL_ARG_BIAS, impl_->desc.bias_desc(), const_cast<float*>(impl_->bias.get()));
  return state;
} catch (const Ended&) {
  return std::make_unique<State>();  // execute() needs nothing more
} catch (const dnnl::error& e) {
  expect_success(e.status, e.what());
  throw;
}

/// oneDNN generates the code of some products on their first run.
bool Product::Impl::first_run(const State& state) try {
  const Door door;
  const Running running;
  if (!running) return false;
  expect_success(run(state), "first execution");
  Door::ends_before_what_was_made();
  has_run.store(true, std::memory_order_release);
  return true;
} catch (const Ended&) {
  return false;
}

bool Product::execute(void* dst, const void* src, void* scratch, ops::PlanState* state) const {
  auto& s = *static_cast<State*>(state);
  if (s.args.empty()) return false;
  const std::array<void*, 3> pointers{const_cast<void*>(src), dst, scratch};
  for (std::size_t i = 0; i < pointers.size(); ++i) dnnl_memory_set_data_handle(s.args[i].memory, pointers[i]);
  if (!impl_->has_run.load(std::memory_order_acquire)) return impl_->first_run(s);
  const Running running;
  if (!running) return false;
  const OneOmpThread one;
  expect_success(impl_->run(s), "execution");
  return true;
}

}  // namespace lamella::cpu::onednn
