// SPDX-License-Identifier: Apache-2.0
// Operations other than Dense on each engine that can be forced by name, vendors' libraries included.
#include <gmock/gmock.h>

#include <functional>
#include <set>

#include "device/op_truth.hpp"

namespace lamella::test {
namespace {

/// Calls `check` with each engine that accepts the operation; returns their names.
std::set<std::string> each_engine(const ops::Desc& desc, const std::function<void(const std::string&)>& check) {
  std::set<std::string> ran;
  for (const std::string& engine : engines_that_take(desc, constants_of({}))) {
    SCOPED_TRACE(engine);
    ran.insert(engine);
    check(engine);
  }
  return ran;
}

TEST(OpEngines, SoftmaxAlongEveryAxis) {
  std::set<std::string> ran;
  for (const auto kind : {ActivationKind::Softmax, ActivationKind::LogSoftmax}) {
    for (const DType dtype : {DType::float32, DType::bfloat16, DType::float16, DType::float64}) {
      for (const std::int64_t outer : {0, 1, 3}) {
        for (const std::int64_t length : {1, 3, 127}) {
          for (const std::int64_t inner : {1, 5}) {
            const ops::RowwiseDesc d{kind, outer, length, inner, dtype};
            const auto x = rounded(random_values(static_cast<std::size_t>(outer * length * inner), 11, 3.0), dtype);
            const auto want = rowwise_truth(d, x);
            SCOPED_TRACE(core::format("{} {} {} {} {}", to_string(kind), to_string(dtype), outer, length, inner));
            ran.merge(each_engine(d, [&](const std::string& engine) {
              expect_near(run(d, constants_of({}), sources({x}, dtype), dtype, want.size(), engine), want, dtype, 40, 80);
            }));
          }
        }
      }
    }
  }
#ifdef LAMELLA_FAKE_CUDNN
  EXPECT_TRUE(ran.contains("cudnn_softmax"));
#endif
  EXPECT_EQ(ran.empty(), !device().is_cuda());  // the CPU has one engine for each
}

TEST(OpEngines, EveryActivation) {
  std::set<std::string> ran;
  for (int k = 0; !is_rowwise(static_cast<ActivationKind>(k)); ++k) {
    const auto kind = static_cast<ActivationKind>(k);
    const ActivationSpec spec = with_defaults(kind);
    for (const DType dtype : {DType::float32, DType::bfloat16, DType::float16, DType::float64}) {
      if (kind == ActivationKind::HardSigmoidKeras2 && dtype == DType::float64)
        continue;  // the reference's slope is the float32 0.2
      for (const std::size_t n : {0U, 1U, 127U, 1027U}) {
        const auto x = activation_inputs(n, 5, dtype);
        const auto want = activation_truth(spec, x);
        const ops::ActivationDesc d{static_cast<std::int64_t>(n), spec, dtype};
        SCOPED_TRACE(core::format("{} {} {}", to_string(kind), to_string(dtype), n));
        ran.merge(each_engine(d, [&](const std::string& engine) {
          expect_near(run(d, constants_of({}), sources({x}, dtype), dtype, n, engine), want, dtype, 40, 80);
        }));
      }
    }
  }
#ifdef LAMELLA_FAKE_CUDNN
  EXPECT_TRUE(ran.contains("cudnn_activation"));
#endif
  EXPECT_EQ(ran.empty(), !device().is_cuda());  // the CPU has one engine for each
}

TEST(OpEngines, SayWhatTheyDoNotSupport) {
  for (const std::string& engine : device_ops().engines()) {
    if (engine.find("cudnn") == std::string::npos || engine == "gemm_bias_cudnn") continue;
    const bool softmax = engine == "cudnn_softmax";
    const ops::Desc other = softmax ? ops::Desc(ops::RowwiseDesc{ActivationKind::Sparsemax, 2, 3, 1, DType::float32})
                                    : ops::Desc(ops::ActivationDesc{5, activation_of("mish"), DType::float32});
    const std::int64_t many = std::int64_t{1} << 40;
    const ops::Desc large = softmax ? ops::Desc(ops::RowwiseDesc{ActivationKind::Softmax, many, 3, 1, DType::float32})
                                    : ops::Desc(ops::ActivationDesc{many, activation_of("relu"), DType::float32});
    const ops::Desc larger = softmax ? ops::Desc(ops::RowwiseDesc{ActivationKind::Softmax, many, many, many, DType::float32})
                                     : ops::Desc(ops::ActivationDesc{many << 20, activation_of("relu"), DType::float32});
    for (const ops::Desc& desc : {other, large, larger}) {
      try {
        static_cast<void>(device_ops().plan(desc, constants_of({}), context(), engine));
        ADD_FAILURE() << engine << " takes it";
      } catch (const ArgumentError& error) {
        EXPECT_THAT(error.what(), testing::HasSubstr("cuDNN"));
      }
    }
  }
}

}  // namespace
}  // namespace lamella::test
