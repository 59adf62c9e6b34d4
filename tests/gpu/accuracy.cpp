// SPDX-License-Identifier: Apache-2.0
// Measures how far a device's activations are from the exact value, in units in the last place of the dtype: over every float16
// and bfloat16, and every `stride`-th float32. Prints a JSON object per line with the first of the worst inputs; `bound` is that
// of activation.def for float32, and 1 for 16 bits, whose results are rounded once. Exit status: 0 all within their bounds, 1
// not, 5 no such device. Usage: accuracy [DEVICE] [STRIDE]     default cuda:0 and 251; the stride is odd
#include <array>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <lamella/lamella.hpp>
#include <lamella/models.hpp>
#include <limits>
#include <string>
#include <string_view>

#include "core/activation_reference.hpp"

namespace {

using namespace lamella;

/// Maps numbers of a dtype to integers in the same order: neighbours differ by 1, both zeros are 0.
std::int64_t place(const Tensor& values, std::int64_t i) {
  const std::size_t size = size_of(values.dtype());
  std::uint64_t bits = 0;
  std::memcpy(&bits, static_cast<const std::byte*>(values.data()) + static_cast<std::size_t>(i) * size, size);
  const std::uint64_t sign = std::uint64_t{1} << (8 * size - 1);
  const auto magnitude = static_cast<std::int64_t>(bits & (sign - 1));
  return (bits & sign) != 0 ? -magnitude : magnitude;
}

/// Every stride-th bit pattern of a dtype of 16 or 32 bits.
Tensor inputs(DType dtype, std::uint64_t stride) {
  const std::size_t size = size_of(dtype);
  const std::uint64_t patterns = std::uint64_t{1} << (8 * size);
  Tensor x({static_cast<std::int64_t>((patterns - 1) / stride + 1)}, dtype);
  auto* at = static_cast<std::byte*>(x.data());
  for (std::uint64_t bits = 0; bits < patterns; bits += stride, at += size) std::memcpy(at, &bits, size);
  return x;
}

struct Worst {
  std::int64_t ulps = -1;
  double x = 0;
  double found = 0;
  double exact = 0;
};

Worst worst_of(std::string_view activation, const Tensor& x, const Tensor& y) {
  const test::Truth truth = test::truths().at(activation);
  std::array<double, 3> p{};
  for (std::size_t i = 0; const ActivationParameter& each : parameters_of(activation_of(activation).kind))
    p[i++] = static_cast<double>(static_cast<float>(each.default_value));
  const Tensor wide = x.to(DType::float64);
  Tensor exact(x.shape(), DType::float64);
  for (std::size_t i = 0; i < wide.span<double>().size(); ++i) exact.span<double>()[i] = truth(wide.span<double>()[i], p);
  const Tensor rounded = exact.to(x.dtype());
  const Tensor found = y.to(DType::float64);
  Worst worst;
  for (std::size_t i = 0; i < wide.span<double>().size(); ++i) {
    const double value = found.span<double>()[i];
    const double wanted = exact.span<double>()[i];
    if (!std::isfinite(wide.span<double>()[i]) || std::isnan(wanted)) continue;
    const auto index = static_cast<std::int64_t>(i);
    const std::int64_t distance =
        std::isnan(value) ? std::numeric_limits<std::int64_t>::max() : std::llabs(place(y, index) - place(rounded, index));
    if (distance > worst.ulps) worst = {distance, wide.span<double>()[i], value, wanted};
  }
  return worst;
}

/// Returns false if an error exceeds its bound.
bool measure(std::string_view name, const Tensor& x, Device device) {
  const ActivationKind kind = activation_of(name).kind;
  const std::string dtype(to_string(x.dtype()));
  const Model model = Sequential({Layer(Input({1}, {.dtype = dtype})), Activation(std::string(name), {.dtype = dtype})})
                          .compile({.device = device});
  const Tensor y = model.predict(TensorView(x).reshaped({x.shape().elements(), 1}));
  const Worst worst = worst_of(name, x, y);
  const int bound = x.dtype() == DType::float32 ? ulp_bound(kind) : 1;
  std::printf(
      "{\"activation\": \"%s\", \"dtype\": \"%s\", \"inputs\": %lld, \"ulps\": %lld, \"bound\": %d, \"x\": %.9g, "
      "\"found\": %.9g, \"exact\": %.9g}\n",
      std::string(name).c_str(), dtype.c_str(), static_cast<long long>(x.shape().elements()), static_cast<long long>(worst.ulps),
      bound, worst.x, worst.found, worst.exact);
  std::fflush(stdout);
  return worst.ulps <= bound;
}

}  // namespace

int main(int argc, char** argv) {
  try {
    const Device device = Device::parse(argc > 1 ? argv[1] : "cuda:0");
    const std::uint64_t stride = argc > 2 ? std::strtoull(argv[2], nullptr, 10) : 251;
    if (const std::string why = why_no_cuda(); device.is_cuda() && !why.empty()) throw DeviceError(ErrorCode::device, why);
    bool is_right = true;
    for (const DType dtype : {DType::float16, DType::bfloat16, DType::float32}) {
      const Tensor x = inputs(dtype, dtype == DType::float32 ? stride : 1);
      for (const std::string_view name : activation_names()) {
        if (!test::truths().contains(name) || name == "threshold" || is_rowwise(activation_of(name).kind)) continue;
        is_right = measure(name, x, device) && is_right;
      }
    }
    return is_right ? 0 : 1;
  } catch (const DeviceError& error) {
    std::fprintf(stderr, "accuracy: not measured: %s\n", error.what());
    return 5;
  } catch (const std::exception& error) {
    std::fprintf(stderr, "accuracy: %s\n", error.what());
    return 1;
  }
}
