// SPDX-License-Identifier: Apache-2.0
#include "kernels/activation_impl.hpp"

namespace lamella::kernels {

LAMELLA_BIAS_ACTIVATION(__nv_bfloat16, __nv_bfloat16);
LAMELLA_BIAS_ACTIVATION(float, __nv_bfloat16);

}  // namespace lamella::kernels
