// SPDX-License-Identifier: Apache-2.0
// Programs of a GPU on host memory of the caller.
#include <cstring>
#include <utility>

#include "model/session.hpp"

namespace lamella::model {
namespace {

/// Calls f(slot, offset) for the slots of one kind, each at an aligned offset of one block of memory; the block's size.
template <typename F>
std::size_t laid_out(const Program& program, Slot::Kind kind, const F& f) {
  std::size_t at = 0;
  for (const Slot& slot : program.slots) {
    if (slot.kind != kind) continue;
    f(slot, at);
    at += aligned(slot.bytes);
  }
  return at;
}

std::size_t bytes_of_rows(const Program& program, const Slot& slot, std::int64_t rows) {
  return program.batch == 0 ? 0 : slot.bytes / static_cast<std::size_t>(program.batch) * static_cast<std::size_t>(rows);
}

}  // namespace

void Session::Staging::reserve(const SessionOptions& options, std::size_t wanted) {
  if (wanted <= bytes) return;
  core::Backend& backend = core::cuda_backend();
  auto charge = core::charge(options.budget, wanted, "input and output buffers");
  auto new_device = core::charged(backend.allocate(options.device.index(), wanted), std::move(charge));
  host = backend.allocate_pinned(options.device.index(), wanted);
  device = std::move(new_device);
  bytes = wanted;
}

void Session::begin(const std::shared_ptr<const Program>& program, std::span<const void* const> inputs, std::int64_t rows) {
  Bound& bound = bind(program);
  const auto nothing = [](const Slot&, std::size_t) {};
  staged_inputs_.reserve(options_, laid_out(*program, Slot::Kind::input, nothing));
  staged_outputs_.reserve(options_, laid_out(*program, Slot::Kind::output, nothing));
  std::vector<const void*> srcs(inputs.size());
  std::vector<void*> dsts;
  stream_->follow(nullptr);
  laid_out(*program, Slot::Kind::input, [&](const Slot& slot, std::size_t at) {
    auto* const pinned = static_cast<std::byte*>(staged_inputs_.host.get()) + at;
    auto* const device = static_cast<std::byte*>(staged_inputs_.device.get()) + at;
    const std::size_t given = bytes_of_rows(*program, slot, rows);
    if (given != 0) std::memcpy(pinned, inputs[slot.at], given);
    if (given != slot.bytes) std::memset(pinned + given, 0, slot.bytes - given);
    stream_->copy(device, pinned, slot.bytes);
    srcs[slot.at] = device;
  });
  laid_out(*program, Slot::Kind::output, [&](const Slot& slot, std::size_t at) {
    dsts.resize(std::max(dsts.size(), slot.at + 1));
    dsts[slot.at] = static_cast<std::byte*>(staged_outputs_.device.get()) + at;
  });
  enqueue(bound, srcs, dsts, nullptr);
  const std::size_t bytes = laid_out(*program, Slot::Kind::output, nothing);
  stream_->copy(staged_outputs_.host.get(), staged_outputs_.device.get(), bytes);
  begun_ = program;
  begun_rows_ = rows;
}

void Session::end(std::span<void* const> outputs) {
  const auto program = std::exchange(begun_, nullptr);
  stream_->synchronize();
  laid_out(*program, Slot::Kind::output, [&](const Slot& slot, std::size_t at) {
    const std::size_t wanted = bytes_of_rows(*program, slot, begun_rows_);
    if (wanted != 0) std::memcpy(outputs[slot.at], static_cast<const std::byte*>(staged_outputs_.host.get()) + at, wanted);
  });
}

}  // namespace lamella::model
