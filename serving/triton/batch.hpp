// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>
#include <vector>

#include "request.hpp"

namespace lamella::triton {

/// Memory that is reused from call to call and only grows.
class Scratch {
 public:
  /// At least this many bytes, aligned for any vector type; the previous content is lost. Throws std::bad_alloc.
  [[nodiscard]] std::byte* at_least(std::size_t bytes);

 private:
  struct Free {
    void operator()(std::byte* data) const noexcept;
  };
  std::unique_ptr<std::byte, Free> data_;
  std::size_t bytes_ = 0;
};

/// Answers requests with one model, one call at a time.
class Executor {
 public:
  Executor(TRITONBACKEND_ModelInstance* instance, std::shared_ptr<const Model> model);
  /// Answers and releases every request. If it throws, the server still owns all of them.
  void execute(std::span<TRITONBACKEND_Request* const> handles);

 private:
  struct Times;
  void run(std::span<Request* const> group) noexcept;
  void predict(std::span<Request* const> group, Times& times);
  [[nodiscard]] void* gathered(std::span<Request* const> group, std::size_t input, std::size_t bytes);
  void answer(Request& request, const Times& times) noexcept;

  TRITONBACKEND_ModelInstance* instance_;
  std::shared_ptr<const Model> model_;
  std::vector<Scratch> inputs_;
  std::vector<Scratch> outputs_;
  bool opens_;  ///< an output has an open extent besides the batch
};

}  // namespace lamella::triton
