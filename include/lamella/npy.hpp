// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>
#include <map>
#include <span>
#include <string>

#include <lamella/export.hpp>
#include <lamella/tensor.hpp>

namespace lamella {

/// Reads a numpy array file into host memory (versions 1 to 3; both byte orders; C and Fortran order, which is converted to C
/// order). Floating types, integers and bool keep their type; others are refused. Throws LoadError, which names the file and the
/// defect.
[[nodiscard]] LAMELLA_API Tensor load_npy(const std::string& path);
/// The same from memory; messages begin with `where`.
[[nodiscard]] LAMELLA_API Tensor parse_npy(std::span<const std::byte> bytes, const std::string& where);
/// Writes host memory as a version 1.0 file, little-endian, C order; bfloat16, which numpy does not know, as float32.
/// A regular or new file appears complete or not at all, with the mode (and, where allowed, the owner) of the file it replaces;
/// other links to that file keep the old content. Symlinks are followed; FIFOs, devices and descriptors (/dev/stdout, /dev/fd/3)
/// are written in place. Throws Error (io), ArgumentError (device).
LAMELLA_API void save_npy(const std::string& path, const TensorView& tensor);

/// Reads a numpy archive (numpy.savez, numpy.savez_compressed) into host memory: its arrays by name, without ".npy". Throws
/// LoadError, also for members that are not npy files, and for names that differ only by case.
[[nodiscard]] LAMELLA_API std::map<std::string, Tensor> load_npz(const std::string& path);
/// Writes host memory as numpy.savez does, uncompressed, each array as save_npy() would; equal arrays give equal bytes.
/// Throws Error (io), ArgumentError (device; value: a name that an archive cannot have).
LAMELLA_API void save_npz(const std::string& path, const std::map<std::string, TensorView>& arrays);

}  // namespace lamella
