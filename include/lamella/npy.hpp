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
/// The file appears whole or not at all: it is written beside `path` and then renamed. Throws Error (io), ArgumentError (device).
LAMELLA_API void save_npy(const std::string& path, const TensorView& tensor);

}  // namespace lamella
