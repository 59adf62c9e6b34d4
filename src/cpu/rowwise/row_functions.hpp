// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>

#include <lamella/activation.hpp>

namespace lamella::cpu {

/// Maps one slice src[length, inner] to dst, along the first axis. dst may be src, except for glu, whose dst is [length / 2,
/// inner].
template <typename C>
using RowFn = void (*)(C* dst, const C* src, std::int64_t length, std::int64_t inner);

/// The function for a row-wise kind on this machine. C: float or double.
template <typename C>
[[nodiscard]] RowFn<C> row_function(ActivationKind kind);

}  // namespace lamella::cpu
