// SPDX-License-Identifier: Apache-2.0
// The programs whose instructions bench/instructions counts under valgrind: each does one thing, in one thread, in the same way
// every time. Usage: instructions [CASE]     without CASE: prints the names, one per line
#include <cstdio>
#include <functional>
#include <lamella/lamella.hpp>
#include <lamella/models.hpp>
#include <map>
#include <string>

#include "cli/bench/check.hpp"

/// The part that is counted: callgrind collects only within functions of this name.
extern "C" __attribute__((noinline, visibility("default"))) void lamella_counted(const std::function<void()>& work) {
  work();
  asm volatile("" ::: "memory");  // no tail call: callgrind would not see the return
}

namespace {

using namespace lamella;

/// Volatile, so that the compiler makes no copy under another name.
void (*volatile counted)(const std::function<void()>&) = lamella_counted;

/// Calls through the whole runtime, after the first calls have made what later ones reuse.
void predict(std::int64_t batch, std::int64_t width, int depth, const char* activation) {
  std::vector<Layer> layers{Layer(Input({width}))};
  for (int i = 0; i < depth; ++i) layers.push_back(Dense(width, {.activation = activation, .bias_initializer = "random_normal"}));
  const Model model = Sequential(layers).compile({.device = Device::cpu(), .threads = 1});
  const Tensor x = bench::random_tensor({batch, width}, DType::float32, 1);
  Tensor y = model.predict(x);
  counted([&] {
    for (int i = 0; i < 20; ++i) model.predict_into(x, y);
  });
}

void elementwise(const char* activation) {
  const Model model = Sequential({Layer(Input({1027})), Activation(activation)}).compile({.device = Device::cpu(), .threads = 1});
  const Tensor x = bench::random_tensor({33, 1027}, DType::float32, 1);
  Tensor y = model.predict(x);
  counted([&] { model.predict_into(x, y); });
}

void build() {
  counted([] {
    const Sequential network({Layer(Input({64})), Dense(64, {.activation = "relu"}), Dense(10, {.activation = "softmax"})});
    static_cast<void>(network.compile({.device = Device::cpu(), .threads = 1}));
  });
}

const std::map<std::string, std::function<void()>>& cases() {
  static const std::map<std::string, std::function<void()>> all{
      {"build_and_compile", build},
      {"elementwise_gelu", [] { elementwise("gelu"); }},
      {"elementwise_tanh", [] { elementwise("tanh"); }},
      {"predict_1x1", [] { predict(1, 1, 1, "linear"); }},
      {"predict_1x64x4_tanh", [] { predict(1, 64, 4, "tanh"); }},
      {"predict_33x127_relu", [] { predict(33, 127, 1, "relu"); }},
      {"rowwise_softmax", [] { elementwise("softmax"); }},
  };
  return all;
}

}  // namespace

int main(int argc, char** argv) {
  if (argc < 2) {
    for (const auto& [name, run] : cases()) std::printf("%s\n", name.c_str());
    return 0;
  }
  const auto found = cases().find(argv[1]);
  if (found == cases().end()) {
    std::fprintf(stderr, "instructions: no case is named '%s'\n", argv[1]);
    return 2;
  }
  try {
    found->second();
  } catch (const std::exception& error) {
    std::fprintf(stderr, "instructions: %s\n", error.what());
    return 1;
  }
}
