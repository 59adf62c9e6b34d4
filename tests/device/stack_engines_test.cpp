// SPDX-License-Identifier: Apache-2.0
// Every engine of a device that takes several Dense layers at once, found by asking each of the device's engines.
#include <gtest/gtest.h>

#include <set>

#include "device/op_truth.hpp"

namespace lamella::test {
namespace {

struct Case {
  ops::StackDesc desc;
  std::shared_ptr<const ops::Constants> constants;
  std::vector<double> x, wanted;
};

/// Layers with tanh between them; what is wanted is summed in float64, and rounded where a layer's result is.
Case case_of(DType dtype, std::int64_t batch, const std::vector<std::int64_t>& widths, bool softmax) {
  const auto size = [](std::int64_t a, std::int64_t b) { return static_cast<std::size_t>(a * b); };
  Case made;
  made.desc.batch = batch;
  made.desc.softmax = softmax;
  made.desc.dtype = dtype;
  made.x = rounded(random_values(size(batch, widths[0]), 1), dtype);
  made.wanted = made.x;
  std::vector<std::vector<double>> constants;
  for (std::size_t n = 1; n < widths.size(); ++n) {
    const std::int64_t inputs = widths[n - 1];
    const std::int64_t units = widths[n];
    const bool last = n + 1 == widths.size();
    made.desc.layers.push_back({inputs, units, true, activation_of(last ? "linear" : "tanh")});
    const double width = 1 / std::sqrt(static_cast<double>(inputs));
    constants.push_back(rounded(random_values(size(inputs, units), static_cast<unsigned>(2 * n), width), dtype));
    constants.push_back(rounded(random_values(size(1, units), static_cast<unsigned>(2 * n + 1)), dtype));
    std::vector<double> next(size(batch, units));
    for (std::int64_t r = 0; r < batch; ++r) {
      for (std::int64_t u = 0; u < units; ++u) {
        double sum = constants.back()[size(u, 1)];
        for (std::int64_t k = 0; k < inputs; ++k)
          sum += made.wanted[size(r, inputs) + size(k, 1)] * constants[constants.size() - 2][size(k, units) + size(u, 1)];
        next[size(r, units) + size(u, 1)] = last ? sum : std::tanh(sum);
      }
    }
    made.wanted = rounded(next, dtype);
  }
  if (softmax) made.wanted = rowwise_truth({ActivationKind::Softmax, batch, widths.back(), 1, dtype}, made.wanted);
  made.constants = constants_of(constants);
  return made;
}

TEST(StackEnginesTest, EachIsRightAtAwkwardSizes) {
  if (!device().is_cuda()) GTEST_SKIP() << "the CPU runs layer by layer";
  std::set<std::string> ran;
  const std::vector<std::int64_t> chains[] = {{19, 33, 7}, {1, 1, 1}, {64, 64, 64, 10}, {31, 127, 3, 71}};
  for (const DType dtype : {DType::float32, DType::bfloat16, DType::float16}) {
    const double tolerance = dtype == DType::float32 ? 2e-5 : 16 * roundoff(dtype);
    for (const std::int64_t batch : {1, 3, 8, 33, 129}) {
      for (const auto& widths : chains) {
        for (const bool softmax : {false, true}) {
          Case made = case_of(dtype, batch, widths, softmax);
          for (const std::string& engine : engines_that_take(made.desc, made.constants)) {
            SCOPED_TRACE(core::format("{} {} {} layers of {}", engine, to_string(dtype), batch, widths[1]));
            const auto y = run(made.desc, made.constants, sources({made.x}, dtype), dtype, made.wanted.size(), engine);
            for (std::size_t i = 0; i < y.size(); ++i)
              ASSERT_NEAR(y[i], made.wanted[i], tolerance * (1 + std::fabs(made.wanted[i]))) << i;
            ran.insert(engine);
          }
        }
      }
    }
  }
  EXPECT_FALSE(ran.empty());
}

}  // namespace
}  // namespace lamella::test
