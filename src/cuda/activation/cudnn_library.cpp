// SPDX-License-Identifier: Apache-2.0
#include "cuda/activation/cudnn_library.hpp"

#include <dlfcn.h>

#include "core/check.hpp"

namespace lamella::cuda {

void open_cudnn(Cudnn& functions) {
  const std::string file = core::format("libcudnn.so.{}", CUDNN_MAJOR);
  void* const library = dlopen(file.c_str(), RTLD_NOW | RTLD_LOCAL | RTLD_NODELETE);
  if (library == nullptr) {
    functions.why_not = core::format("cuDNN cannot be loaded: {}", core::escaped(dlerror(), 1024));
    return;
  }
#define LAMELLA_CUDNN_FIND(name)                                                      \
  functions.name = reinterpret_cast<decltype(functions.name)>(dlsym(library, #name)); \
  if (functions.name == nullptr) functions.why_not = core::format("{} has no {}", file, #name);
  LAMELLA_CUDNN_FUNCTIONS(LAMELLA_CUDNN_FIND)
#undef LAMELLA_CUDNN_FIND
}

}  // namespace lamella::cuda
