// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

#include "failure.hpp"
#include "library.hpp"

namespace lamella::triton {

/// One input of a request, in the pieces of memory in which the server holds it.
struct InputValues {
  std::span<const std::int64_t> shape;  ///< with the batch
  std::vector<std::span<const std::byte>> pieces;

  [[nodiscard]] std::span<const std::int64_t> sample() const { return shape.subspan(1); }
};

/// A request, its response, and what it asks for. The memory it points to belongs to the server until the request is released.
struct Request {
  TRITONBACKEND_Request* handle = nullptr;
  TRITONBACKEND_Response* response = nullptr;
  std::int64_t rows = 0;
  std::vector<InputValues> inputs;   ///< in the model's order
  std::vector<std::size_t> outputs;  ///< the requested ones
  ErrorHandle error;                 ///< why it cannot be answered

  /// Fills in rows, inputs and outputs. Throws Failure if they do not fit the model.
  void read(const Ports& ports);
};

/// Whether the samples of two requests have the same shapes: only then can their rows be one batch.
[[nodiscard]] bool have_same_samples(const Request& a, const Request& b);

/// The bytes of an array. Throws Failure if they exceed the address space.
[[nodiscard]] std::size_t bytes_of(std::span<const std::int64_t> shape, const ElementType& type);

}  // namespace lamella::triton
