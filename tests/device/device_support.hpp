// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <cstring>
#include <limits>
#include <memory>
#include <random>
#include <string>
#include <string_view>
#include <vector>

#include "core/backend.hpp"
#include "cpu/convert.hpp"
#include "device/test_device.hpp"
#include "ops/engine.hpp"

namespace lamella::test {

/// Memory that starts `offset` bytes after an aligned address, filled with bytes that are NaN in every floating type.
class Bytes {
 public:
  explicit Bytes(std::size_t bytes, std::size_t offset = 0) : memory_(bytes + offset, 0xFF), offset_(offset) {}
  [[nodiscard]] void* data() { return memory_.data() + offset_; }
  [[nodiscard]] std::size_t offset() const { return offset_; }
  [[nodiscard]] std::vector<unsigned char>& whole() { return memory_; }

 private:
  std::vector<unsigned char> memory_;
  std::size_t offset_;
};

inline Bytes stored(const std::vector<double>& values, DType dtype, std::size_t offset = 0) {
  Bytes bytes(values.size() * size_of(dtype) + 1, offset);
  core::visit_dtype(dtype, [&](auto t) {
    using T = decltype(t);
    for (std::size_t i = 0; i < values.size(); ++i) {
      const T value = cpu::convert<T>(values[i]);
      std::memcpy(static_cast<unsigned char*>(bytes.data()) + i * sizeof(T), &value, sizeof(T));
    }
  });
  return bytes;
}

inline std::vector<double> loaded(Bytes& bytes, DType dtype, std::size_t n) {
  std::vector<double> values(n);
  core::visit_dtype(dtype, [&](auto t) {
    using T = decltype(t);
    for (std::size_t i = 0; i < n; ++i) {
      T value;
      std::memcpy(&value, static_cast<unsigned char*>(bytes.data()) + i * sizeof(T), sizeof(T));
      values[i] = cpu::convert<double>(value);
    }
  });
  return values;
}

/// The values rounded to a dtype.
inline std::vector<double> rounded(const std::vector<double>& values, DType dtype) {
  Bytes bytes = stored(values, dtype);
  return loaded(bytes, dtype, values.size());
}

inline std::vector<double> random_values(std::size_t n, unsigned seed, double width = 1.0) {
  std::mt19937 generator(seed);
  std::normal_distribution<double> normal(0.0, width);
  std::vector<double> values(n);
  std::generate(values.begin(), values.end(), [&] { return normal(generator); });
  return values;
}

inline std::shared_ptr<const ops::Constants> constants_of(const std::vector<std::vector<double>>& values,
                                                          DType dtype = DType::float32) {
  std::vector<std::shared_ptr<const Tensor>> tensors;
  for (const auto& v : values) {
    Tensor tensor(Shape{v.size()}, dtype);
    Bytes bytes = stored(v, dtype);
    if (!v.empty()) std::memcpy(tensor.data(), bytes.data(), tensor.bytes());
    tensors.push_back(std::make_shared<const Tensor>(std::move(tensor)));
  }
  return std::make_shared<const ops::Constants>(std::move(tensors));
}

/// The engines that can be forced and accept this operation. Expects each refusal to give a reason.
inline std::vector<std::string> engines_that_take(const ops::Desc& desc, const std::shared_ptr<const ops::Constants>& constants) {
  std::vector<std::string> names;
  for (const std::string& engine : device_ops().engines()) {
    try {  // the name of another operation's engine is ignored
      if (device_ops().plan(desc, constants, context(), engine).engine == engine) names.push_back(engine);
    } catch (const ArgumentError& error) {
      EXPECT_NE(std::string_view(error.what()).find("cannot do this: "), std::string_view::npos) << error.what();
    }
  }
  return names;
}

/// A copy of a Bytes on the test's device, with the same offset from an aligned address.
class OnDevice {
 public:
  explicit OnDevice(Bytes& host) : host_(host), memory_(allocate(host.whole().size())) {
    core::backend(device()).copy(device().index(), memory_.get(), host.whole().data(), host.whole().size());
  }
  [[nodiscard]] void* data() const { return static_cast<unsigned char*>(memory_.get()) + host_.offset(); }
  void copy_back() const {
    core::backend(device()).copy(device().index(), host_.whole().data(), memory_.get(), host_.whole().size());
  }
  static std::shared_ptr<void> allocate(std::size_t bytes) { return core::backend(device()).allocate(device().index(), bytes); }

 private:
  Bytes& host_;
  std::shared_ptr<void> memory_;
};

/// Runs one operation into poisoned memory that is aligned to exactly one element; the workspace holds NaN.
inline std::vector<double> run(const ops::Desc& desc, const std::shared_ptr<const ops::Constants>& constants,
                               std::vector<Bytes> srcs, DType dtype, std::size_t results, const std::string& engine = {},
                               int threads = 2, std::size_t offset = 1) {
  const ops::Choice choice = device_ops().plan(desc, constants, context(threads), engine);
  Bytes poison(choice.plan->workspace_bytes() + 1);
  const OnDevice workspace(poison);
  const std::size_t guard = 64;
  Bytes dst(results * size_of(dtype) + guard, offset * size_of(dtype));
  const OnDevice device_dst(dst);
  std::vector<OnDevice> device_srcs;
  std::vector<const void*> pointers;
  for (Bytes& src : srcs) pointers.push_back(device_srcs.emplace_back(src).data());
  const auto state = choice.plan->make_state();
  const auto stream = core::backend(device()).create_stream(device().index());
  core::Enqueueing enqueueing(*stream);
  choice.plan->execute({pointers, device_dst.data(), workspace.data(), stream.get(), state.get()});
  enqueueing.done();
  stream->synchronize();
  device_dst.copy_back();
  const auto* const end = static_cast<unsigned char*>(dst.data()) + results * size_of(dtype);
  if (std::any_of(end, end + guard, [](unsigned char byte) { return byte != 0xFF; }))
    throw std::runtime_error("wrote past the end");
  if (std::any_of(dst.whole().begin(), dst.whole().begin() + static_cast<std::ptrdiff_t>(dst.offset()),
                  [](unsigned char byte) { return byte != 0xFF; }))
    throw std::runtime_error("wrote before the beginning");
  return loaded(dst, dtype, results);
}

/// The unit roundoff of a dtype.
inline double roundoff(DType dtype) {
  switch (dtype) {
    case DType::float64:
      return 0x1p-53;
    case DType::float16:
      return 0x1p-11;
    case DType::bfloat16:
      return 0x1p-8;
    default:
      return 0x1p-24;
  }
}

}  // namespace lamella::test
