// SPDX-License-Identifier: Apache-2.0
// The engines of cuDNN in a build without it.
#include "cuda/activation/cudnn.hpp"
#include "cuda/activation/engines.hpp"
#include "cuda/rowwise/engines.hpp"

namespace lamella::cuda {

class CudnnHandle {};

namespace {

constexpr const char* kAbsent = "this build of lamella has no cuDNN";

template <typename D>
class Absent final : public ops::Engine<D> {
 public:
  explicit Absent(std::string_view name) : name_(name) {}
  [[nodiscard]] std::string_view name() const noexcept override { return name_; }
  [[nodiscard]] std::string refuses(const D&, const ops::PlanContext&) const override { return kAbsent; }
  [[nodiscard]] PlanPtr plan(const D&, ConstantsPtr, const ops::PlanContext&) const override {
    throw Error(ErrorCode::internal, core::format("{}: {}", name_, kAbsent));
  }

 private:
  std::string_view name_;
};

}  // namespace

std::shared_ptr<CudnnHandle> make_cudnn_handle(int device) {
  throw DeviceError(ErrorCode::device, core::format("[cuda:{}] {}", device, kAbsent));
}
std::size_t cudnn_version() { return 0; }

const ActivationEngine& cudnn_activation_engine() {
  static const Absent<ops::ActivationDesc> engine("cudnn_activation");
  return engine;
}
const RowwiseEngine& cudnn_softmax_engine() {
  static const Absent<ops::RowwiseDesc> engine("cudnn_softmax");
  return engine;
}

}  // namespace lamella::cuda
