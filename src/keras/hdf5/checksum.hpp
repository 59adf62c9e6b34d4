// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>

#include "keras/bytes.hpp"

namespace lamella::keras::hdf5 {

/// Bob Jenkins' lookup3 hash, which HDF5 appends to its newer metadata.
[[nodiscard]] std::uint32_t lookup3(Bytes bytes) noexcept;
/// Fletcher's sum over big-endian 16-bit words, which the filter of that name appends to a chunk.
[[nodiscard]] std::uint32_t fletcher32(Bytes bytes) noexcept;

}  // namespace lamella::keras::hdf5
