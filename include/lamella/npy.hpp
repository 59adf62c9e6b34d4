// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>
#include <span>
#include <string>

#include <lamella/export.hpp>
#include <lamella/tensor.hpp>

namespace lamella {

/// Reads a numpy array file (versions 1 to 3; both byte orders; C and Fortran order, which is turned into C order).
/// Floating types, integers and bool keep their type. Throws LoadError that names the file and what is wrong with it.
[[nodiscard]] LAMELLA_API Tensor load_npy(const std::string& path);
/// The same from memory; `where` begins messages.
[[nodiscard]] LAMELLA_API Tensor parse_npy(std::span<const std::byte> bytes, const std::string& where);
/// Writes host memory as a version 1.0 file, little-endian, C order; bfloat16, which numpy does not know, as float32.
/// A regular file, or a new one, appears whole or not at all, with the mode (and, where allowed, the owner) of the one that it
/// replaces; other links to that keep the old content. A symlink is followed; a FIFO, a device and a descriptor (/dev/stdout,
/// /dev/fd/3) are written into. Throws Error (io), ArgumentError (device).
LAMELLA_API void save_npy(const std::string& path, const TensorView& tensor);

}  // namespace lamella
