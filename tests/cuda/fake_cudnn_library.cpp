// SPDX-License-Identifier: Apache-2.0
// cuDNN's double is linked, not opened at run time; LAMELLA_FAKE_CUDNN=absent simulates a machine without cuDNN.
#include <cstdlib>

#include "cuda/activation/cudnn_library.hpp"

namespace lamella::cuda {

void open_cudnn(Cudnn& functions) {
  if (std::getenv("LAMELLA_FAKE_CUDNN") != nullptr) functions.why_not = "cuDNN cannot be loaded: it is absent";
#define LAMELLA_CUDNN_TAKE(name) functions.name = &::name;
  LAMELLA_CUDNN_FUNCTIONS(LAMELLA_CUDNN_TAKE)
#undef LAMELLA_CUDNN_TAKE
}

}  // namespace lamella::cuda
