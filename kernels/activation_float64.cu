// SPDX-License-Identifier: Apache-2.0
#include "kernels/activation_impl.hpp"

namespace lamella::kernels {

LAMELLA_BIAS_ACTIVATION(double, double);

}  // namespace lamella::kernels
