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

/// The rows of an npy file, some at a time: memory is that of the rows in hand. (Fortran order has no rows side by side: such a
/// file is read whole.) All throw LoadError that begins with the file's name.
class LAMELLA_API NpyRows {
 public:
  /// A regular file.
  explicit NpyRows(const std::string& path);
  /// What comes from a descriptor of the caller's, which may be a pipe's, behind bytes that were read from it already.
  NpyRows(int descriptor, std::vector<std::byte> ahead, const std::string& name);
  NpyRows(NpyRows&& other) noexcept;
  ~NpyRows();

  [[nodiscard]] const Shape& shape() const noexcept;  ///< of the whole
  [[nodiscard]] DType dtype() const noexcept;
  /// Everything, where nothing was taken before.
  [[nodiscard]] Tensor all();
  /// The next rows of a shape with at least one axis: `most` of them, or as many as are left.
  [[nodiscard]] Tensor next(std::int64_t most);

 private:
  struct Impl;
  std::unique_ptr<Impl> impl_;
};

}  // namespace lamella::core
