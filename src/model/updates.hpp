// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <vector>

#include <lamella/tensor.hpp>

#include "core/backend.hpp"
#include "core/mutex.hpp"
#include "model/tally.hpp"
#include "ops/constants.hpp"

namespace lamella::model {

/// Writes the new weights of a model, and orders its other work after them. One update runs at a time: it holds mutex().
class Updates {
 public:
  Updates(core::Backend& backend, int device, std::shared_ptr<Tally> tally);
  ~Updates();  ///< waits for the last update
  Updates(const Updates&) = delete;
  Updates& operator=(const Updates&) = delete;

  [[nodiscard]] core::Mutex& mutex() noexcept { return mutex_; }
  /// Waits for the last update, whose buffer the next one uses.
  void wait();
  /// A copy on the host of memory of the device, as it is after the work already enqueued on `native`; null: as it is now. Waits.
  [[nodiscard]] Tensor fetched(const TensorView& array, void* native);
  /// Writes after the work of `sessions` and after what is already enqueued on `native`, and returns at once; null: waits. Either
  /// nothing has been written, or the device has failed. Only while no session runs, and none begins to.
  void write(const ops::Writes& writes, const std::vector<core::Stream*>& sessions, void* native);

  /// Called for a session before its work on the stream's current handle: orders it after the updates. `seen` is the session's.
  void precede(core::Stream& stream, std::int64_t& seen) const {
    if (seen == enqueued_) return;
    stream.follow(*writing_);
    seen = enqueued_;
  }

 private:
  void reserve(std::size_t bytes);

  core::Backend& backend_;
  int device_;
  std::shared_ptr<Tally> tally_;
  core::Mutex mutex_;
  std::shared_ptr<void> pinned_;  ///< what an update on a caller's stream copies from
  std::size_t pinned_bytes_ = 0;
  std::vector<std::shared_ptr<void>> targets_;  ///< what the last update writes to
  std::int64_t enqueued_ = 0;                   ///< updates on callers' streams
  std::unique_ptr<core::Stream> reading_;       ///< for fetched(): sessions follow the other one
  std::unique_ptr<core::Stream> writing_;
};

}  // namespace lamella::model
