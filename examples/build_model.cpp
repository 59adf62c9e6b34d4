// SPDX-License-Identifier: Apache-2.0
// Builds models in C++ with Keras' names, without a file.
#include <cstdio>
#include <exception>
#include <lamella/models.hpp>
#include <vector>

using namespace lamella;

int main() {
  try {
    Sequential classifier({
        Dense(64, {.activation = "relu"}),
        Dropout(0.2),
        Dense(10),
        Activation("softmax"),
    });
    classifier.build({784}, {.seed = 7});
    std::printf("%s\n", classifier.summary().c_str());

    const Model model = classifier.compile();
    const Tensor digits = model.predict(std::vector<float>(2 * 784, 0.5F), {2, 784});
    std::printf("the first digit's classes:");
    for (int i = 0; i < 10; ++i) std::printf(" %.3f", static_cast<double>(digits.span<float>()[static_cast<std::size_t>(i)]));

    // A graph: one Dense shared by both inputs, and a connection around it.
    const auto left = Input({8}, {.name = "left"});
    const auto right = Input({8}, {.name = "right"});
    const Dense shared(8, {.activation = "tanh"});
    const auto both = Concatenate()({shared(left), shared(right), Add()({left, right})});
    const Functional graph({left, right}, Dense(1, {.activation = "sigmoid"})(both), {.name = "siamese"});
    std::printf("\n\n%s\nits config, for Keras:\n%.100s...\n", graph.summary().c_str(), graph.get_config().c_str());
  } catch (const std::exception& error) {
    std::fprintf(stderr, "build_model: %s\n", error.what());
    return 1;
  }
}
