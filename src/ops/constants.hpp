// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <atomic>
#include <compare>
#include <cstddef>
#include <functional>
#include <map>
#include <memory>
#include <utility>
#include <vector>

#include <lamella/tensor.hpp>

#include "core/mutex.hpp"
#include "ops/desc.hpp"

namespace lamella::ops {

class Constants;

/// A form of a layer's constants that an engine's plans share: one constant's elements in another type or order.
struct Form {
  /// `plain`: in their own order; `panels`: packed as in cpu/dense/panels.hpp; `zero_panels`: zeros instead; `onednn`: in
  /// oneDNN's layout; `aligned_rows`: a kernel whose rows start aligned; `fragments`: as in kernels/mma_layout.hpp; `parts`: as
  /// in kernels/mma_float32.hpp; `stack`: all of them, as in kernels/stack.hpp; `cluster`: the same as in
  /// kernels/stack_cluster.hpp; `quantized_panels` and `number_panels`: as
  /// cpu/dense/quantized.hpp packs them.
  enum class Layout {
    plain,
    panels,
    zero_panels,
    onednn,
    aligned_rows,
    fragments,
    parts,
    stack,
    cluster,
    quantized_panels,
    number_panels
  };
  static constexpr int kHost = -1;

  Layout layout = Layout::plain;
  std::size_t constant = 0;  ///< which one
  DType rounded_to = DType::float32;
  DType as = DType::float32;
  int device = kHost;  ///< or the index of a CUDA device
  int group = 1;       ///< for quantized panels: inputs that are stored together
  std::vector<std::int64_t> cut =
      {};  ///< for a stack or cluster: inputs, units and whether there is a bias, for each Dense layer
  friend auto operator<=>(const Form&, const Form&) = default;
};

/// New values, prepared in host memory, and the memory that plans read, where they belong.
struct Write {
  std::shared_ptr<void> into;
  std::shared_ptr<const void> from;
  std::size_t bytes = 0;
  bool on_host = true;  ///< else `into` is memory of the model's device
};
using Writes = std::vector<Write>;

/// One form of constants as read by plans, and the way to replace its values.
struct Packed {
  std::shared_ptr<const void> data;
  /// Prepares the same form of other constants, with as many elements and the same dtypes.
  std::function<Writes(const std::shared_ptr<const Constants>&)> renew;
};

/// The constants of one layer (kernel, bias, gamma, ...) on the host, and the forms that engines made of them, shared by all
/// plans of the layer. Thread-safe.
class Constants {
 public:
  explicit Constants(std::vector<std::shared_ptr<const Tensor>> values) : values_(std::move(values)) {}
  [[nodiscard]] std::size_t size() const noexcept { return values_.size(); }
  [[nodiscard]] const Tensor& operator[](std::size_t i) const { return *values_.at(i); }
  [[nodiscard]] const std::vector<std::shared_ptr<const Tensor>>& values() const noexcept { return values_; }
  /// The data of this form: cached, or created by `make` on first request. `renew` must not own these constants.
  [[nodiscard]] std::shared_ptr<const void> derived(const Form& form, const std::function<Packed()>& make) const {
    const std::lock_guard lock(mutex_);
    Packed& entry = derived_[form];
    if (!entry.data) entry = make();
    return entry.data;
  }
  /// What has to be written so that these, and every form made of them, have the values of `other`. Call only while nothing plans
  /// or executes with these.
  [[nodiscard]] Writes renewed(const std::shared_ptr<const Constants>& other) const;

  /// The same constants with their current forms, for plans that may be discarded: forms that such plans create are lost with the
  /// copy, unless adopt() takes them.
  [[nodiscard]] std::shared_ptr<const Constants> copy() const {
    auto result = std::make_shared<Constants>(values_);
    const std::lock_guard lock(mutex_);
    result->derived_ = derived_;
    return result;
  }
  /// Takes over the forms that plans have made of a copy().
  void adopt(const Constants& copy) const {
    const std::scoped_lock lock(mutex_, copy.mutex_);
    derived_.insert(copy.derived_.begin(), copy.derived_.end());
    packed_bytes_ += copy.packed_bytes_;
  }

  /// Counts a form's host memory, which it holds as long as these constants live.
  void note_packed(std::size_t bytes) const noexcept { packed_bytes_ += bytes; }
  [[nodiscard]] std::size_t packed_bytes() const noexcept { return packed_bytes_; }

 private:
  std::vector<std::shared_ptr<const Tensor>> values_;
  mutable core::Mutex mutex_;
  mutable std::map<Form, Packed> derived_;
  mutable std::atomic<std::size_t> packed_bytes_{0};
};

/// Throws an internal Error unless `constants` have the number, types and sizes required by `desc`: plans keep pointers to them
/// and take sizes from the Desc alone.
void expect_constants(const Desc& desc, const Constants& constants);

}  // namespace lamella::ops
