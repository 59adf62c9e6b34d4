// SPDX-License-Identifier: Apache-2.0
// The CPU as a device: host memory, and streams whose work is done by the thread that enqueues it.
#include "core/backend.hpp"

#include <cstring>

#include <oneapi/dnnl/dnnl.h>

#include "core/check.hpp"
#include "core/processors.hpp"
#include "cpu/ops.hpp"
#include "cpu/simd.hpp"

namespace lamella::cpu {
namespace {

/// There is never pending work: every call returns when its work is done.
class CpuStream final : public core::Stream {
 public:
  [[nodiscard]] void* native() const noexcept override { return nullptr; }
  [[nodiscard]] std::uint64_t id() const noexcept override { return 0; }
  [[nodiscard]] bool is_idle() noexcept override { return true; }
  void switch_to(void* native) override { LAMELLA_ASSERT(native == nullptr, "the CPU has no streams"); }
  void follow(core::Stream&) override {}
  void begin_work() override {}
  void end_work() override {}
  void abandon_work() noexcept override {}
  void begin_range(const char*) override {}
  void end_range() override {}
  void copy(void* dst, const void* src, std::size_t bytes) override {
    if (bytes != 0) std::memmove(dst, src, bytes);
  }
  void synchronize() override {}
  [[nodiscard]] std::unique_ptr<core::Graph> capture(const std::function<void()>&, core::NotCaptured& why_not) override {
    why_not = {"the CPU has no graphs: work is done when it is enqueued", false};
    return nullptr;
  }
  void launch(core::Graph&) override { LAMELLA_ASSERT(false, "the CPU has no graphs"); }
  void join_capture(void*, std::shared_ptr<const void>) override { LAMELLA_ASSERT(false, "the CPU has no graphs"); }
};

class CpuBackend final : public core::Backend {
 public:
  CpuBackend() : Backend({.is_host = true, .is_inline = true}) {}

  [[nodiscard]] int device_count() const override { return 1; }
  [[nodiscard]] std::string why_unusable(int) override { return {}; }
  [[nodiscard]] std::string describe(int) const override {
    static const std::string& text = *new std::string(core::format("{}, {}", core::processor_name(), to_string(best_isa())));
    return text;
  }
  [[nodiscard]] std::vector<std::string> libraries() const override {
    const dnnl_version_t& version = *dnnl_version();
    return {core::format("oneDNN {}.{}.{}", version.major, version.minor, version.patch)};
  }
  [[nodiscard]] std::shared_ptr<void> allocate(int, std::size_t bytes) override { return core::allocate_host(bytes); }
  [[nodiscard]] std::shared_ptr<void> allocate_pinned(int, std::size_t bytes) override { return core::allocate_host(bytes); }
  void copy(int, void* dst, const void* src, std::size_t bytes) override {
    if (bytes != 0) std::memmove(dst, src, bytes);
  }
  void fill(int, void* dst, int byte, std::size_t bytes) override {
    if (bytes != 0) std::memset(dst, byte, bytes);
  }
  void expect_device_memory(int, const void*, const char*) override {}  // any address may be the host's
  [[nodiscard]] std::unique_ptr<core::Stream> create_stream(int) override { return std::make_unique<CpuStream>(); }
  [[nodiscard]] std::uint64_t stream_id(int, void*) override {
    throw DeviceError(ErrorCode::device, "[cpu] the CPU has no streams");
  }
  void release_retired() noexcept override {}
  [[nodiscard]] bool is_captured(int, void*) override { return false; }
  void with_relaxed_capture(const std::function<void()>& work) override { work(); }
  [[nodiscard]] ops::OpSet& ops() override { return *ops_; }

 private:
  std::unique_ptr<ops::OpSet> ops_ = make_ops();
};

}  // namespace
}  // namespace lamella::cpu

namespace lamella::core {

Backend& cpu_backend() {
  static cpu::CpuBackend& backend = *new cpu::CpuBackend;  // never destroyed: static objects may predict until the process ends
  return backend;
}

}  // namespace lamella::core
