// SPDX-License-Identifier: Apache-2.0
// The peer "cublasLt" of bench/peers: answers with one line of JSON to the start, and to each line of standard input.
//   cublaslt WEIGHTS WIDTH DEPTH relu|gelu_tanh|gelu|tanh float32|bfloat16|float16 exact|tf32 graph|stream
// At the start: {"ready": ...} or {"absent": why}. "prepare INPUT OUTPUT": computes an answer and writes it. "time": the time of
// a call. The files hold float32 values and nothing else.
#include <cstdio>
#include <fstream>
#include <iostream>
#include <map>
#include <stdexcept>
#include <string>

#include "mlp.hpp"

namespace {

using namespace peer;

std::vector<float> read(const std::string& path) {
  std::ifstream file(path, std::ios::binary | std::ios::ate);
  if (!file) throw std::runtime_error("'" + path + "' cannot be read");
  std::vector<float> values(static_cast<std::size_t>(file.tellg()) / sizeof(float));
  file.seekg(0);
  file.read(reinterpret_cast<char*>(values.data()), static_cast<std::streamsize>(values.size() * sizeof(float)));
  return values;
}

void write(const std::string& path, const std::vector<float>& values) {
  std::ofstream file(path, std::ios::binary);
  file.write(reinterpret_cast<const char*>(values.data()), static_cast<std::streamsize>(values.size() * sizeof(float)));
  file.close();
  if (!file) throw std::runtime_error("'" + path + "' cannot be written");
}

template <typename T>
T choice(const std::string& word, const std::map<std::string, T>& choices) {
  const auto found = choices.find(word);
  if (found == choices.end()) throw std::runtime_error("'" + word + "' is not an allowed word");
  return found->second;
}

Settings settings_of(char** words) {
  Settings settings;
  settings.width = std::stoll(words[2]);
  settings.depth = std::stoi(words[3]);
  settings.activation = choice<Activation>(
      words[4],
      {{"relu", Activation::relu}, {"gelu_tanh", Activation::gelu_tanh}, {"gelu", Activation::gelu}, {"tanh", Activation::tanh}});
  settings.type = choice<Type>(words[5], {{"float32", Type::float32}, {"bfloat16", Type::bfloat16}, {"float16", Type::float16}});
  settings.tf32 = choice<bool>(words[6], {{"exact", false}, {"tf32", true}});
  settings.graph = choice<bool>(words[7], {{"stream", false}, {"graph", true}});
  return settings;
}

/// Returns false, and prints a line that says why, if there is no GPU.
bool ready() {
  int count = 0;
  const cudaError_t error = cudaGetDeviceCount(&count);
  if (error == cudaSuccess && count > 0) {
    cudaDeviceProp device{};
    if (cudaGetDeviceProperties(&device, 0) == cudaSuccess) {
      std::cout << R"({"ready": true, "device": ")" << device.name << "\"}" << std::endl;
      return true;
    }
  }
  std::cout << R"({"absent": "CUDA sees no GPU ()" << cudaGetErrorString(error) << ")\"}" << std::endl;
  return false;
}

void serve(Mlp& mlp) {
  for (std::string order; std::cin >> order;) {
    if (order == "prepare") {
      std::string input;
      std::string output;
      std::cin >> input >> output;
      mlp.prepare(read(input));
      write(output, mlp.answer());
      std::cout << R"({"fused": ")" << mlp.fused() << "\"}" << std::endl;
    } else if (order == "time") {
      const Times times = mlp.time(31, 20);
      std::printf("{\"median_us\": %.4f, \"min_us\": %.4f}\n", times.median_us, times.min_us);
      std::fflush(stdout);
    } else {
      throw std::runtime_error("'" + order + "' is neither prepare nor time");
    }
  }
}

}  // namespace

int main(int argc, char** argv) {
  if (argc != 8) {
    std::fprintf(stderr, "usage: cublaslt WEIGHTS WIDTH DEPTH ACTIVATION DTYPE exact|tf32 graph|stream\n");
    return 2;
  }
  try {
    const Settings settings = settings_of(argv);
    if (!ready()) return 3;
    Mlp mlp(read(argv[1]), settings);
    serve(mlp);
  } catch (const std::exception& error) {
    std::fprintf(stderr, "cublaslt: %s\n", error.what());
    return 1;
  }
}
