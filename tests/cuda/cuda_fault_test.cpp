// SPDX-License-Identifier: Apache-2.0
// Every call to CUDA, cuBLASLt and cuDNN fails at n = 1, 2, 3 ..., once and for ever, through whole scenarios.
#include <functional>
#include <optional>

#include "cuda/cuda_support.hpp"

namespace lamella::test {
namespace {

/// What a scenario works on, made before the faults begin.
struct World {
  std::optional<Model> model;
  Tensor x = random_rows(5, 7);
  std::optional<Tensor> device_x;
  std::optional<Tensor> device_y;
  std::array<cudaStream_t, 2> streams{};
  ~World() {
    for (cudaStream_t stream : streams) {
      if (stream == nullptr) continue;
      static_cast<void>(cudaStreamSynchronize(stream));
      static_cast<void>(cudaStreamDestroy(stream));
    }
  }
};

struct Scenario {
  const char* name;
  std::function<void(World&)> prepare;
  std::function<void(World&)> act;
};

void on_device(World& w) {
  w.model.emplace(small_spec(), on_cuda());
  w.device_x.emplace(w.x.to(Device::cuda(0)));
  w.device_y.emplace(Shape{5, 5}, DType::float32, Device::cuda(0));
  for (cudaStream_t& stream : w.streams) ASSERT_EQ(cudaStreamCreateWithFlags(&stream, cudaStreamNonBlocking), cudaSuccess);
}

/// predict_into() on both streams in turn, so often that graphs are captured and replayed.
void on_both_streams(const Model& model, World& w, int calls) {
  for (int i = 0; i < calls; ++i) {
    const cudaStream_t stream = w.streams[static_cast<std::size_t>(i % 2)];
    model.predict_into(*w.device_x, *w.device_y, stream);
    if (cudaStreamSynchronize(stream) != cudaSuccess) return;
  }
}

std::vector<Scenario> scenarios() {
  const auto nothing = [](World&) {};
  const auto loaded = [](World& w) { w.model.emplace(small_spec(), on_cuda()); };
  const auto warm = [](World& w) {
    w.model.emplace(small_spec(), on_cuda());
    for (int i = 0; i < 3; ++i) static_cast<void>(w.model->predict(w.x));
  };
  return {
      {"open_the_device", nothing, [](World&) { static_cast<void>(Tensor({3}, DType::float32, Device::cuda(0))); }},
      {"load", nothing,
       [](World& w) {
         w.model.emplace(Model::load(mlp_path(), on_cuda()));
         w.model.reset();
       }},
      {"first_predict", loaded, [](World& w) { static_cast<void>(w.model->predict(w.x)); }},
      {"graph_capture_and_replay", loaded,
       [](World& w) {
         for (int i = 0; i < 4; ++i) static_cast<void>(w.model->predict(w.x));
       }},
      {"new_batch_size", warm, [](World& w) { static_cast<void>(w.model->predict(random_rows(600, 7))); }},
      {"chunks_in_two_sessions",
       [](World& w) {
         Options options = on_cuda();
         options.max_batch = 2;
         w.model.emplace(small_spec(), options);
       },
       [](World& w) { static_cast<void>(w.model->predict(w.x)); }},
      {"set_activation", warm,
       [](World& w) {
         const Model changed = w.model->with_activation("Dense_1", "tanh");
         static_cast<void>(changed.predict(w.x));
       }},
      {"cudnn",
       [](World& w) {
         Options options = on_cuda();
         options.engine = "gemm_bias_cudnn";
         SpecBuilder builder;
         w.model.emplace(builder.build({builder.dense(builder.input({7}), 7, 5, activation("tanh"))}), options);
       },
       [](World& w) { static_cast<void>(w.model->predict(w.x)); }},
      {"two_streams", on_device, [](World& w) { on_both_streams(*w.model, w, 6); }},
      {"load_on_two_streams_with_graphs", on_device,
       [](World& w) {
         const Model second(small_spec(2), on_cuda());
         on_both_streams(second, w, 5);
       }},
      {"set_activation_on_two_streams_with_graphs", on_device,
       [](World& w) { on_both_streams(w.model->with_activation("Dense_1", "tanh"), w, 5); }},
      {"set_activation_replayed", warm,
       [](World& w) {
         const Model changed = w.model->with_activation("Dense_1", "tanh");
         for (int i = 0; i < 3; ++i) static_cast<void>(changed.predict(w.x));
       }},
      {"new_batch_size_replayed", warm,
       [](World& w) {
         const Tensor more = random_rows(70, 7);
         for (int i = 0; i < 3; ++i) static_cast<void>(w.model->predict(more));
       }},
      {"first_predict_without_graphs",
       [](World& w) {
         Options options = on_cuda();
         options.graphs = false;
         w.model.emplace(small_spec(), options);
       },
       [](World& w) {
         for (int i = 0; i < 3; ++i) static_cast<void>(w.model->predict(w.x));
       }},
      {"chunks_in_two_sessions_replayed",
       [](World& w) {
         Options options = on_cuda();
         options.max_batch = 2;
         w.model.emplace(small_spec(), options);
       },
       [](World& w) {
         for (int i = 0; i < 3; ++i) static_cast<void>(w.model->predict(w.x));
       }},
      {"destroy_with_graphs_on_two_streams",
       [](World& w) {
         on_device(w);
         on_both_streams(*w.model, w, 6);
         w.model->predict_into(*w.device_x, *w.device_y, w.streams[1]);
       },
       [](World& w) { w.model.reset(); }},
      {"destroy",
       [](World& w) {
         on_device(w);
         w.model->predict_into(*w.device_x, *w.device_y, w.streams[0]);
       },
       [](World& w) { w.model.reset(); }},
  };
}

class EachFault : public testing::TestWithParam<Scenario> {};

/// One scenario with a fault at call n. False when the scenario makes fewer calls.
bool strike(const Scenario& scenario, std::uint64_t n, fake_cuda::Fault fault) {
  restart_cuda({.seed = static_cast<unsigned>(n)});
  bool struck = false;
  {
    World world;
    scenario.prepare(world);
    std::vector<float> before;
    if (world.model) before = values_of(world.model->predict(world.x));
    if (std::string_view(scenario.name).starts_with("first_predict") || std::string_view(scenario.name).starts_with("graph")) {
      world.model.reset();
      scenario.prepare(world);  // as nobody had predicted
    }
    fake_cuda::fail_nth(n, fault);
    try {
      scenario.act(world);
    } catch (const Error& error) {
      EXPECT_TRUE(error.code() == ErrorCode::device || error.code() == ErrorCode::out_of_memory) << error.what();
      EXPECT_THAT(error.what(), testing::AnyOf(testing::HasSubstr("[cuda"), testing::HasSubstr("NVIDIA")))
          << "the message names no call";
    }
    struck = fake_cuda::fault_struck();
    fake_cuda::no_faults();
    static_cast<void>(cudaGetLastError());
    if (world.model) {
      EXPECT_EQ(values_of(world.model->predict(world.x)), before) << "the same object works, with the same bits";
    }
  }
  EXPECT_THAT(fake_cuda::misuses(), testing::IsEmpty());
  stop_cuda();
  EXPECT_EQ(fake_cuda::live(), fake_cuda::Live{}) << "leaks";
  return struck;
}

TEST_P(EachFault, LeavesNothingBrokenAndNothingBehind) {
  int faults = 0;
  for (const fake_cuda::Fault fault : {fake_cuda::Fault::once, fake_cuda::Fault::forever}) {
    for (std::uint64_t n = 1; n < 100'000; ++n) {
      SCOPED_TRACE(core::concat(GetParam().name, ", ", fault == fake_cuda::Fault::once ? "once" : "for ever", " at call ", n));
      if (!strike(GetParam(), n, fault)) break;
      ++faults;
      if (HasFailure()) return;
    }
  }
  EXPECT_GT(faults, 1);
  RecordProperty("faults", faults);
  std::cout << faults << " faults in " << GetParam().name << "\n";
}

INSTANTIATE_TEST_SUITE_P(Cuda, EachFault, testing::ValuesIn(scenarios()),
                         [](const auto& parameter) { return std::string(parameter.param.name); });

}  // namespace
}  // namespace lamella::test
