// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include <lamella/export.hpp>
#include <lamella/tensor.hpp>

namespace lamella::core {

/// The rows of an npy file, some at a time, so that only these are in memory. (In Fortran order rows are not contiguous, so such
/// a file is read whole.) All functions throw LoadError, which begins with the file's name.
class LAMELLA_API NpyRows {
 public:
  /// A regular file.
  explicit NpyRows(const std::string& path);
  /// Reads from a caller's descriptor, which may be a pipe's, after the bytes that were already read from it.
  NpyRows(int descriptor, std::vector<std::byte> ahead, const std::string& name);
  NpyRows(NpyRows&& other) noexcept;
  ~NpyRows();

  [[nodiscard]] const Shape& shape() const noexcept;  ///< of the whole file
  [[nodiscard]] DType dtype() const noexcept;
  /// The whole array; nothing may have been consumed before.
  [[nodiscard]] Tensor all();
  /// The next `most` rows, or as many as are left; the shape must have at least one axis.
  [[nodiscard]] Tensor next(std::int64_t most);

 private:
  struct Impl;
  std::unique_ptr<Impl> impl_;
};

}  // namespace lamella::core
