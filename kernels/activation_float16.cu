// SPDX-License-Identifier: Apache-2.0
#include "kernels/activation_impl.hpp"

namespace lamella::kernels {

LAMELLA_BIAS_ACTIVATION(__half, __half);
LAMELLA_BIAS_ACTIVATION(float, __half);

}  // namespace lamella::kernels
