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

namespace lamella::core {
class Stream;
}

namespace lamella::ops {

class Constants;

/// What an engine makes of a layer's constants, so that its plans share it: one constant's elements in another type or order.
struct Form {
  /// `plain`: in the order in which they stand; `panels`: as cpu/dense/panels.hpp packs them; `zero_panels`: zeros in their
  /// place; `onednn`: as oneDNN wants them; `aligned_rows`: a kernel whose rows start aligned; `fragments`: as
  /// kernels/mma_layout.hpp has it; `stack`: all of them, as kernels/stack_layout.hpp has it; `quantized_panels` and
  /// `number_panels`: as cpu/dense/quantized.hpp packs them.
  enum class Layout { plain, panels, zero_panels, onednn, aligned_rows, fragments, stack, quantized_panels, number_panels };
  static constexpr int kHost = -1;

  Layout layout = Layout::plain;
  std::size_t constant = 0;  ///< which one
  DType rounded_to = DType::float32;
  DType as = DType::float32;
  int device = kHost;                  ///< or the index of a CUDA device
  int group = 1;                       ///< of quantized panels: inputs that lie together
  std::vector<std::int64_t> cut = {};  ///< of a stack: inputs, units and whether there is a bias, of each layer
  friend auto operator<=>(const Form&, const Form&) = default;
};

/// One form of constants, where plans read it; and how other numbers come to stand there.
struct Packed {
  /// Puts in place what was made ready. On a device that is not the host it is enqueued, and fails only where the device does;
  /// what is copied lives as long as this function.
  using Commit = std::function<void(core::Stream&)>;
  std::shared_ptr<const void> data;
  /// The same form of other constants, of as many elements and the same dtypes, made ready.
  std::function<Commit(const std::shared_ptr<const Constants>&)> renew;
};

/// The constants of one layer (kernel, bias, gamma, ...) on the host, and what engines made of them, shared by all plans of the
/// layer. Thread-safe.
class Constants {
 public:
  explicit Constants(std::vector<std::shared_ptr<const Tensor>> values) : values_(std::move(values)) {}
  [[nodiscard]] std::size_t size() const noexcept { return values_.size(); }
  [[nodiscard]] const Tensor& operator[](std::size_t i) const { return *values_.at(i); }
  [[nodiscard]] const std::vector<std::shared_ptr<const Tensor>>& values() const noexcept { return values_; }
  /// The data of what `make` returned the first time it was asked for this form. `renew` may not own these constants.
  [[nodiscard]] std::shared_ptr<const void> derived(const Form& form, const std::function<Packed()>& make) const {
    const std::lock_guard lock(mutex_);
    Packed& entry = derived_[form];
    if (!entry.data) entry = make();
    return entry.data;
  }
  /// What puts the numbers of `other` in the place of these and into every form that was made of them. Changes nothing
  /// itself. To be called while nobody plans or executes with these.
  [[nodiscard]] std::vector<Packed::Commit> renewed(const std::shared_ptr<const Constants>& other) const;

  /// The same constants, with the forms that they have by now, for plans that may not be kept: what such plans make is lost with
  /// the copy, unless adopt() takes it.
  [[nodiscard]] std::shared_ptr<const Constants> copy() const {
    auto result = std::make_shared<Constants>(values_);
    const std::lock_guard lock(mutex_);
    result->derived_ = derived_;
    return result;
  }
  /// Takes the forms that plans have made of a copy().
  void adopt(const Constants& copy) const {
    const std::scoped_lock lock(mutex_, copy.mutex_);
    derived_.insert(copy.derived_.begin(), copy.derived_.end());
    packed_bytes_ += copy.packed_bytes_;
  }

  /// To be called where a form takes host memory, which it does for as long as these constants live.
  void note_packed(std::size_t bytes) const noexcept { packed_bytes_ += bytes; }
  [[nodiscard]] std::size_t packed_bytes() const noexcept { return packed_bytes_; }

 private:
  std::vector<std::shared_ptr<const Tensor>> values_;
  mutable core::Mutex mutex_;
  mutable std::map<Form, Packed> derived_;
  mutable std::atomic<std::size_t> packed_bytes_{0};
};

/// Throws an internal Error unless `constants` are as many, of such types and as large as the contract of `desc` says: plans keep
/// pointers to them and know sizes from the Desc alone.
void expect_constants(const Desc& desc, const Constants& constants);

}  // namespace lamella::ops
