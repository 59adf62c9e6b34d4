// SPDX-License-Identifier: Apache-2.0
// cuDNN's double, which is linked and not opened.
#include "cuda/activation/cudnn_library.hpp"

namespace lamella::cuda {

void open_cudnn(Cudnn& functions) {
#define LAMELLA_CUDNN_TAKE(name) functions.name = &::name;
  LAMELLA_CUDNN_FUNCTIONS(LAMELLA_CUDNN_TAKE)
#undef LAMELLA_CUDNN_TAKE
}

}  // namespace lamella::cuda
