// SPDX-License-Identifier: Apache-2.0
// In whole scenarios, each in every way that a model can run, call n to CUDA, cuBLASLt or cuDNN fails for n = 1, 2, 3 ...: only
// that call, or all from it on.
#include <functional>
#include <optional>

#include "cuda/cuda_support.hpp"
#include "effort.hpp"

namespace lamella::test {
namespace {

/// The way in which predictions run.
enum class Way {
  steps,         ///< step by step: no graphs
  graphs,        ///< host memory; captured by the second call, replayed by later ones
  two_sessions,  ///< more rows than max_batch: two sessions, each with a stream, take turns
  two_streams,   ///< device memory, on two of the caller's streams
};

struct World;
struct Scenario {
  const char* name;
  bool warm;  ///< the model has predicted before the faults begin
  std::function<void(World&)> prepare;
  std::function<void(World&)> act;
};

/// A caller's batch, in host memory and, for runs on streams, in device memory.
struct Batch {
  explicit Batch(std::int64_t rows, std::int64_t width = 7) : x(random_rows(rows, width)) {}
  void to_device(std::int64_t width) {
    device_x.emplace(x.to(Device::cuda(0)));
    for (auto& y : device_y) y.emplace(Shape{x.shape()[0], width}, DType::float32, Device::cuda(0));
  }
  Tensor x;
  std::optional<Tensor> device_x;
  std::array<std::optional<Tensor>, 2> device_y;
};

/// The objects of a scenario; all except the model are made before the faults begin.
struct World {
  explicit World(Way as)
      : way(as),
        options(on_cuda()),
        small(as == Way::two_sessions ? 40 : 20),
        large(as == Way::two_sessions ? 60 : 70),
        of_file(as == Way::two_sessions ? 40 : 20, 784) {
    static_cast<void>(core::cuda_backend());  // opened here because that has a test of its own
    options.graphs = way != Way::steps;
    if (way == Way::two_sessions) options.max_batch = 20;
    if (way != Way::two_streams) return;
    small.to_device(5);
    large.to_device(5);
    of_file.to_device(10);
    for (cudaStream_t& stream : streams) {
      if (cudaStreamCreateWithFlags(&stream, cudaStreamNonBlocking) != cudaSuccess) throw std::logic_error("no stream");
    }
  }
  World(const World&) = delete;
  World& operator=(const World&) = delete;
  ~World() {
    model.reset();
    for (cudaStream_t stream : streams) {
      if (stream == nullptr) continue;
      static_cast<void>(cudaStreamSynchronize(stream));
      static_cast<void>(cudaStreamDestroy(stream));
    }
  }

  /// Several calls in a row. With two streams they alternate, and may still be running when this returns.
  void enqueue(const Model& on, Batch& batch, int calls) const {
    for (int i = 0; i < calls; ++i) {
      if (way != Way::two_streams) {
        static_cast<void>(on.predict(batch.x));
        continue;
      }
      const auto k = static_cast<std::size_t>(i % 2);
      on.predict_into(*batch.device_x, *batch.device_y[k], streams[k]);
    }
  }
  void predict(const Model& on, Batch& batch, int calls = 4) const {
    enqueue(on, batch, calls);
    for (cudaStream_t stream : streams) {
      if (stream != nullptr && cudaStreamSynchronize(stream) != cudaSuccess) return;  // the fault hit the caller's own call
    }
  }
  /// The answers of calls made in this way.
  [[nodiscard]] std::vector<float> answers() {
    if (way != Way::two_streams) return values_of(model->predict(small.x));
    predict(*model, small, 2);
    auto both = values_of(small.device_y[0]->to(Device::cpu()));
    const auto second = values_of(small.device_y[1]->to(Device::cpu()));
    both.insert(both.end(), second.begin(), second.end());
    return both;
  }

  Way way;
  Options options;
  std::optional<Model> model;
  Batch small;
  Batch large;
  Batch of_file;
  std::array<cudaStream_t, 2> streams{};
};

void PrintTo(Way way, std::ostream* out) {
  const char* const names[] = {"step_by_step", "graphs", "two_sessions", "two_streams"};
  *out << names[static_cast<std::size_t>(way)];
}
void PrintTo(const Scenario& scenario, std::ostream* out) { *out << scenario.name; }

std::vector<Scenario> scenarios() {
  const auto nothing = [](World&) {};
  const auto made = [](World& w) { w.model.emplace(model_of(small_spec(), w.options)); };
  const auto used = [](World& w) {
    w.model.emplace(model_of(small_spec(), w.options));
    w.predict(*w.model, w.small);
  };
  return {
      {"load", false, nothing,
       [](World& w) {
         const Model model = Model::load(mlp_path(), w.options);
         w.predict(model, w.of_file, 3);
       }},
      {"first_predict", false, made, [](World& w) { w.predict(*w.model, w.small); }},
      {"new_batch_size", true, used, [](World& w) { w.predict(*w.model, w.large, 2); }},
      {"set_activation", true, used,
       [](World& w) {
         const Model changed = w.model->with_activation("Dense_1", "tanh");
         w.predict(changed, w.small, 2);
       }},
      {"cudnn", false,
       [](World& w) {
         w.options.engine = "gemm_bias_cudnn";
         SpecBuilder builder;
         w.model.emplace(model_of(builder.build({builder.dense(builder.input({7}), 7, 5, activation_of("tanh"))}), w.options));
       },
       [](World& w) { w.predict(*w.model, w.small); }},
      {"destroy", true,
       [used](World& w) {
         used(w);
         w.enqueue(*w.model, w.small, 2);
       },
       [](World& w) { w.model.reset(); }},
  };
}

void expect_typed(const Error& error) {
  EXPECT_TRUE(error.code() == ErrorCode::device || error.code() == ErrorCode::out_of_memory) << error.what();
  EXPECT_THAT(error.what(), testing::AnyOf(testing::HasSubstr("[cuda"), testing::HasSubstr("NVIDIA")))
      << "the message does not name the call";
}

/// Makes call n of `act` fail; returns whether there was such a call.
template <typename Act>
bool act_with_fault(std::uint64_t n, fake_cuda::Fault fault, const Act& act) {
  fake_cuda::fail_nth(n, fault);
  try {
    act();
  } catch (const Error& error) {
    expect_typed(error);
  }
  const bool struck = fake_cuda::fault_struck();
  fake_cuda::no_faults();
  static_cast<void>(cudaGetLastError());
  return struck;
}

void expect_nothing_left() {
  EXPECT_THAT(fake_cuda::misuses(), testing::IsEmpty());
  stop_cuda();
  EXPECT_EQ(fake_cuda::live(), fake_cuda::Live{}) << "leaks";
}

/// One scenario with a fault at call n. False when the scenario makes fewer calls.
bool strike(const Scenario& scenario, Way way, std::uint64_t n, fake_cuda::Fault fault) {
  restart_cuda({.seed = static_cast<unsigned>(n)});
  bool struck = false;
  {
    World world(way);
    scenario.prepare(world);
    std::vector<float> before;
    if (world.model) before = world.answers();
    if (world.model && !scenario.warm) {
      world.model.reset();
      scenario.prepare(world);  // resets to a model that has not predicted
    }
    if (std::string_view(scenario.name) == "destroy") world.enqueue(*world.model, world.small, 2);  // leaves work running
    struck = act_with_fault(n, fault, [&] { scenario.act(world); });
    if (world.model) {
      for (int i = 0; i < 2; ++i) EXPECT_EQ(world.answers(), before) << "the same object gives the same bits";
    } else {
      scenario.act(world);  // a new object works too
    }
  }
  expect_nothing_left();
  return struck;
}

/// Faults at n = 1, 2, 3 ... until the scenario has no call n.
template <typename Strike>
void strike_all(const Strike& strike) {
  int faults = 0;
  for (const fake_cuda::Fault fault : {fake_cuda::Fault::once, fake_cuda::Fault::forever}) {
    for (std::uint64_t n = first_fault(); n < 100'000; n += kOneFaultOf) {
      SCOPED_TRACE(core::format("{} at call {}", fault == fake_cuda::Fault::once ? "once" : "always", n));
      if (!strike(n, fault)) break;
      ++faults;
      if (testing::Test::HasFailure()) return;
    }
  }
  EXPECT_GT(faults, 1);
  testing::Test::RecordProperty("faults", faults);
  std::cout << faults << " faults\n";
}

class EachFault : public testing::TestWithParam<std::tuple<Scenario, Way>> {};

TEST_P(EachFault, LeavesNothingBrokenAndNothingBehind) {
  strike_all(
      [](std::uint64_t n, fake_cuda::Fault fault) { return strike(std::get<0>(GetParam()), std::get<1>(GetParam()), n, fault); });
}

TEST(OpeningTheDevice, WithAFaultLeavesNothingBehindAndWorksTheNextTime) {
  strike_all([](std::uint64_t n, fake_cuda::Fault fault) {
    restart_cuda();
    const auto open = [] { static_cast<void>(Tensor({3}, DType::float32, Device::cuda(0))); };
    const bool struck = act_with_fault(n, fault, open);
    restart_cuda();  // the driver's state is queried once per process
    open();
    expect_nothing_left();
    return struck;
  });
}

/// Makes, runs and destroys a caller's graph that contains a prediction.
void use_callers_graph(World& w) {
  const cudaStream_t stream = w.streams[0];
  if (cudaStreamBeginCapture(stream, cudaStreamCaptureModeGlobal) != cudaSuccess) return;
  cudaGraph_t graph = nullptr;
  const auto end = [&] { return cudaStreamEndCapture(stream, &graph) == cudaSuccess; };
  const auto destroy = [&] {
    if (graph != nullptr) static_cast<void>(cudaGraphDestroy(graph));
  };
  try {
    w.model->predict_into(*w.small.device_x, *w.small.device_y[0], stream);
  } catch (...) {
    end();
    destroy();
    throw;
  }
  cudaGraphExec_t exec = nullptr;
  if (end() && cudaGraphInstantiate(&exec, graph, 0) == cudaSuccess) {
    static_cast<void>(cudaGraphLaunch(exec, stream));
    static_cast<void>(cudaStreamSynchronize(stream));
    static_cast<void>(cudaGraphExecDestroy(exec));
  }
  destroy();
}

TEST(ACallersCapture, WithAFaultLeavesNothingBrokenAndNothingBehind) {
  strike_all([](std::uint64_t n, fake_cuda::Fault fault) {
    restart_cuda({.seed = static_cast<unsigned>(n)});
    bool struck = false;
    {
      World world(Way::two_streams);
      world.model.emplace(model_of(small_spec(), world.options));
      const auto before = world.answers();
      struck = act_with_fault(n, fault, [&] { use_callers_graph(world); });
      EXPECT_EQ(world.answers(), before);
      use_callers_graph(world);
      EXPECT_EQ(world.answers(), before);
    }
    expect_nothing_left();
    return struck;
  });
}

std::string name_of(const testing::TestParamInfo<std::tuple<Scenario, Way>>& info) {
  return core::format("{}_{}", std::get<0>(info.param).name, testing::PrintToString(std::get<1>(info.param)));
}

INSTANTIATE_TEST_SUITE_P(Cuda, EachFault,
                         testing::Combine(testing::ValuesIn(scenarios()),
                                          testing::Values(Way::steps, Way::graphs, Way::two_sessions, Way::two_streams)),
                         name_of);

}  // namespace
}  // namespace lamella::test
