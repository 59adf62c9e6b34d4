// SPDX-License-Identifier: Apache-2.0
// A plugin whose only function throws.
#include <cstdlib>
#include <stdexcept>
#include <string>

namespace lamella::core {
class Backend;
}

extern "C" __attribute__((visibility("default"))) lamella::core::Backend* lamella_cuda_plugin_1(const char*, std::string&) {
  if (std::getenv("THROW_A_NUMBER") != nullptr) throw 42;
  throw std::runtime_error("thrown by \x1b[31mthe plugin");
}
