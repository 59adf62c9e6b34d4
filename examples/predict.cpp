// SPDX-License-Identifier: Apache-2.0
// Loads a Keras file and predicts. Usage: predict MODEL X.npy
#include <cstdio>
#include <exception>
#include <lamella/model.hpp>
#include <lamella/npy.hpp>

int main(int argc, char** argv) {
  if (argc != 3) {
    std::fprintf(stderr, "usage: predict MODEL X.npy\n");
    return 2;
  }
  try {
    const lamella::Model model = lamella::Model::load(argv[1]);
    const lamella::Tensor y = model.predict(lamella::load_npy(argv[2]));
    std::printf("%s on %s: output of shape %s\n", model.name().c_str(), to_string(model.device()).c_str(),
                to_string(y.shape()).c_str());
    for (int i = 0; i < 5 && i < y.shape().elements(); ++i)
      std::printf("  %g\n", static_cast<double>(y.span<float>()[static_cast<std::size_t>(i)]));
  } catch (const std::exception& error) {
    std::fprintf(stderr, "predict: %s\n", error.what());
    return 1;
  }
}
