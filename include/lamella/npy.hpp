// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>
#include <map>
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

/// Reads a numpy archive (numpy.savez, numpy.savez_compressed): its arrays by name, without ".npy". Throws LoadError, also for
/// members that are no npy files, and for names that differ by case alone.
[[nodiscard]] LAMELLA_API std::map<std::string, Tensor> load_npz(const std::string& path);
/// Writes host memory as numpy.savez does, uncompressed, each array as save_npy() would; the same arrays give the same bytes.
/// Throws Error (io), ArgumentError (device; value: a name that cannot stand in an archive).
LAMELLA_API void save_npz(const std::string& path, const std::map<std::string, TensorView>& arrays);

}  // namespace lamella
