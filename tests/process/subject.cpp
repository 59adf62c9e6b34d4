// SPDX-License-Identifier: Apache-2.0
// The program that process_test runs: `process_subject MODE [ARGUMENT]`. Exit code 0: all is right.
#include <pthread.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include <atomic>
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <filesystem>
#include <lamella/lamella.hpp>
#include <memory>
#include <new>
#include <string>
#include <thread>
#include <vector>

namespace {

using lamella::Model;
using lamella::Shape;
using lamella::Tensor;

constexpr int kWrong = 3;

std::string fixture() { return std::string(LAMELLA_SOURCE_DIR) + "/examples/models/mlp.keras"; }

/// A model large enough to use oneDNN and the pool's threads.
Model large(const std::string& engine, int threads) {
  const lamella::Sequential net({lamella::Layer(lamella::Input({64})), lamella::Dense(160, {.activation = "tanh"}),
                                 lamella::Dense(48, {.activation = "relu"})});
  return net.compile({.device = lamella::Device::cpu(), .engine = engine, .threads = threads});
}

Tensor input(std::int64_t rows) {
  Tensor x{Shape{rows, 64}};
  float value = -1;
  for (float& element : x.span<float>()) element = value = value > 1 ? -1 : value + 0.0625F;
  return x;
}

/// Whether row 0, which must be the same for every number of rows, is right.
bool right(const Tensor& found, const Tensor& wanted) {
  for (std::size_t i = 0; i < 48; ++i) {
    if (!(std::abs(found.span<float>()[i] - wanted.span<float>()[i]) < 1e-4F)) return false;
  }
  return true;
}

/// Predicts when everything else has been destroyed.
struct Late {
  std::unique_ptr<Model> model;
  Tensor wanted;
  ~Late() {
    if (!model) return;
    for (const std::int64_t rows : {1, 7, 300, 301, 2000}) {
      if (!right(model->predict(input(rows)), wanted)) ::_exit(kWrong);
    }
    const Model loaded = Model::load(fixture());
    std::vector<std::int64_t> sample = loaded.input_shape();
    sample.insert(sample.begin(), 3);
    static_cast<void>(loaded.predict(Tensor::zeros(Shape(sample))));
  }
};
Late late;

int static_object(const std::string& engine) {
  late.model = std::make_unique<Model>(large(engine, 4));
  late.wanted = late.model->predict(input(300));
  return 0;
}

std::vector<std::thread> load_and_predict(int count, const Model& model) {
  std::vector<std::thread> threads;
  for (int t = 0; t < count; ++t) {
    threads.emplace_back([&model, t] {
      for (std::int64_t i = 0;; ++i) {
        if (i % 3 == 0) static_cast<void>(Model::load(fixture(), {.device = lamella::Device::cpu()}));
        static_cast<void>(model.predict(input(100 + (i * 37 + t) % 400)));
      }
    });
  }
  return threads;
}

/// exit() while other threads predict.
int end(const std::string& how, const std::string& engine) {
  static const Model& model = *new Model(large(engine, 4));
  static_cast<void>(model.predict(input(300)));  // makes oneDNN create what it needs on first use
  static auto& threads = *new std::vector<std::thread>(load_and_predict(6, model));
  static_cast<void>(threads);
  std::this_thread::sleep_for(std::chrono::milliseconds(std::chrono::steady_clock::now().time_since_epoch().count() / 1000 % 40));
  if (how == "quick") std::quick_exit(0);
  std::exit(0);
}

/// fork() while other threads load and predict; each child loads and predicts, within 20 s.
int forks(int count) {
  static const Model& model = *new Model(large("", 4));
  const Tensor wanted = model.predict(input(300));
  static auto& threads = *new std::vector<std::thread>(load_and_predict(4, model));
  static_cast<void>(threads);
  int failed = 0;
  for (int i = 0; i < count; ++i) {
    const pid_t child = ::fork();
    if (child == 0) {
      ::alarm(20);
      const bool known = right(model.predict(input(300)), wanted);
      const bool fresh = right(model.predict(input(1000 + i)), wanted);
      const bool made = right(large("", 2).predict(input(300)), wanted);
      static_cast<void>(Model::load(fixture()));
      ::_exit(known && fresh && made ? 0 : kWrong);
    }
    int status = 0;
    if (child < 0 || ::waitpid(child, &status, 0) != child || status != 0) ++failed;
  }
  if (failed != 0) std::fprintf(stderr, "%d of %d children failed\n", failed, count);
  std::_Exit(failed == 0 ? 0 : kWrong);
}

/// Predicts with limited address space: must give an answer or one of the library's errors.
int memory(const std::string& bytes, const std::string& engine) {
  const rlimit limit{std::strtoull(bytes.c_str(), nullptr, 10), RLIM_INFINITY};
  if (::setrlimit(RLIMIT_AS, &limit) != 0) return kWrong;
  try {
    const Model model = Model::load(fixture(), {.device = lamella::Device::cpu(), .engine = engine, .threads = 2});
    std::vector<std::int64_t> sample = model.input_shape();
    sample.insert(sample.begin(), 300);
    static_cast<void>(model.predict(Tensor::zeros(Shape(sample))));
    sample[0] = 37;
    static_cast<void>(model.predict(Tensor::zeros(Shape(sample))));
    return 0;
  } catch (const lamella::Error&) {
    return 1;
  } catch (const std::bad_alloc&) {
    return 1;
  }
}

/// Loads with this engine, predicts, explains and saves. Nothing if the engine refuses.
void use_all(const std::string& engine, const std::string& file) {
  try {
    Model model = Model::load(fixture(), {.device = lamella::Device::cpu(), .engine = engine, .threads = 2});
    std::vector<std::int64_t> sample = model.input_shape();
    for (const std::int64_t rows : {1, 300}) {
      sample.insert(sample.begin(), rows);
      const Tensor y = model.predict(Tensor::zeros(Shape(sample)));
      sample.erase(sample.begin());
      lamella::save_npy(file, y);
    }
    model.set_activation(model.layers().back().name, "gelu");
    static_cast<void>(model.explain({.json = true}));
    static_cast<void>(model.summary());
  } catch (const lamella::ArgumentError&) {
    if (engine.empty()) throw;
  }
}

/// Does so with every engine in a thread with a stack of this size.
int stack(const std::string& bytes) {
  pthread_attr_t attributes;
  pthread_attr_init(&attributes);
  if (pthread_attr_setstacksize(&attributes, std::strtoull(bytes.c_str(), nullptr, 10)) != 0) return kWrong;
  static const std::string file =
      (std::filesystem::temp_directory_path() / ("process_subject_" + std::to_string(::getpid()) + ".npy")).string();
  const auto work = [](void*) -> void* {
    use_all("", file);
    for (const std::string& engine : lamella::engine_names(lamella::Device::cpu())) use_all(engine, file);
    static_cast<void>(large("", 2));
    return nullptr;
  };
  pthread_t thread{};
  if (pthread_create(&thread, &attributes, work, nullptr) != 0) return kWrong;
  const int joined = pthread_join(thread, nullptr);
  return ::unlink(file.c_str()) == 0 ? joined : kWrong;
}

/// Whether a process limited to this instruction set predicts, and agrees with another engine.
int instruction_set() {
  try {
    const Tensor x = input(300);
    return right(large("", 2).predict(x), large("reference", 2).predict(x)) ? 0 : kWrong;
  } catch (const lamella::ArgumentError&) {
    return 1;
  }
}

}  // namespace

int main(int argc, char** argv) {
  const std::string mode = argc > 1 ? argv[1] : "";
  const std::string first = argc > 2 ? argv[2] : "";
  const std::string second = argc > 3 ? argv[3] : "";
  if (mode == "static") return static_object(first);
  if (mode == "end") return end(first, second);
  if (mode == "fork") return forks(std::atoi(first.c_str()));
  if (mode == "memory") return memory(first, second);
  if (mode == "stack") return stack(first);
  if (mode == "instruction_set") return instruction_set();
  return kWrong;
}
