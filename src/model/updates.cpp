// SPDX-License-Identifier: Apache-2.0
#include "model/updates.hpp"

#include <cstring>
#include <utility>

#include "core/budget.hpp"

namespace lamella::model {

Updates::Updates(core::Backend& backend, int device, std::shared_ptr<Tally> tally)
    : backend_(backend), device_(device), tally_(std::move(tally)) {}

Updates::~Updates() {
  writing_.reset();  // waits, because the buffer and what is written to are in use until then
}

void Updates::wait() {
  if (!writing_) writing_ = backend_.create_stream(device_);
  writing_->synchronize();
  targets_.clear();
}

Tensor Updates::fetched(const TensorView& array, void* native) {
  if (!reading_) reading_ = backend_.create_stream(device_);
  Tensor copy(array.shape(), array.dtype());
  reading_->switch_to(native);
  reading_->copy(copy.data(), array.data(), array.bytes());
  reading_->synchronize();
  return copy;
}

void Updates::reserve(std::size_t bytes) {
  if (bytes <= pinned_bytes_) return;
  pinned_.reset();
  pinned_bytes_ = 0;
  auto counts = counted(tally_, &Tally::host_bytes, static_cast<std::int64_t>(bytes));
  pinned_ = core::charged(backend_.allocate_pinned(device_, bytes), std::move(counts));
  pinned_bytes_ = bytes;
}

void Updates::write(const ops::Writes& writes, const std::vector<core::Stream*>& sessions, void* native) {
  std::vector<std::shared_ptr<void>> targets;
  std::size_t bytes = 0;
  for (const ops::Write& write : writes) {
    if (write.on_host) continue;
    targets.push_back(write.into);
    bytes += write.bytes;
  }
  if (native != nullptr) reserve(bytes);
  writing_->switch_to(native);
  for (core::Stream* const session : sessions) {
    if (!session->is_idle()) writing_->follow(*session);
  }
  // From here on only the device can fail.
  targets_ = std::move(targets);
  if (native != nullptr) ++enqueued_;
  auto* next = static_cast<std::byte*>(pinned_.get());
  for (const ops::Write& write : writes) {
    if (write.bytes == 0) continue;
    if (write.on_host) {
      std::memcpy(write.into.get(), write.from.get(), write.bytes);
    } else if (native == nullptr) {
      writing_->copy(write.into.get(), write.from.get(), write.bytes);
    } else {
      std::memcpy(next, write.from.get(), write.bytes);
      writing_->copy(write.into.get(), next, write.bytes);
      next += write.bytes;
    }
  }
  if (native == nullptr) writing_->synchronize();
}

}  // namespace lamella::model
