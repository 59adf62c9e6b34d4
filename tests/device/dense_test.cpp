// SPDX-License-Identifier: Apache-2.0
#include <gmock/gmock.h>

#include <map>
#include <optional>

#include "core/activation_reference.hpp"
#include "device/device_support.hpp"
#include "effort.hpp"

namespace lamella::test {
namespace {

using ops::DenseDesc;

struct Sizes {
  std::int64_t batch, inputs, units;
};
/// Each of 0, 1, 3, 7, 31, 33, 127, 129 and 1027 is once the batch, once the inputs and once the units.
constexpr Sizes kAwkward[] = {{0, 33, 7},   {1, 129, 1027}, {3, 1027, 31}, {7, 0, 33},  {31, 7, 127},
                              {33, 127, 3}, {127, 3, 129},  {129, 31, 0},  {1027, 1, 1}};
constexpr DType kAll[] = {DType::float32, DType::bfloat16, DType::float16, DType::float64};

/// Elements between an aligned address and the start of src and dst.
struct Offsets {
  std::size_t src = 1, dst = 1;
};

/// Why the engine refuses this; empty if it takes it.
std::string refusal(const DenseDesc& desc, const std::string& engine) {
  std::vector<std::vector<double>> zeros{std::vector<double>(static_cast<std::size_t>(desc.inputs * desc.units))};
  if (desc.has_bias) zeros.emplace_back(static_cast<std::size_t>(desc.units));
  const auto none = constants_of(zeros);
  try {
    (void)device_ops().plan(desc, none, context(), engine);
    return {};
  } catch (const ArgumentError& e) {
    EXPECT_THAT(e.what(), testing::HasSubstr("cannot do this: "));
    return e.what();
  }
}

bool accepts(const DenseDesc& desc, const std::string& engine) { return refusal(desc, engine).empty(); }

struct Data {
  std::vector<double> x, w, b;
};

class EachDenseEngine : public testing::TestWithParam<std::string> {
 protected:
  void SetUp() override {
    std::string why;
    for (const DType dtype : kAll) {
      if (const auto found = usual(dtype, why)) usual_.emplace(dtype, *found);
    }
    if (!usual_.empty()) return;
    ASSERT_THAT(why, testing::HasSubstr("it needs code for compute capability")) << "it refuses every type";
    GTEST_SKIP() << why;
  }
  void check(const DenseDesc& d, unsigned seed, const Offsets& offsets = {}) {
    const double width = 1.0 / std::sqrt(static_cast<double>(std::max<std::int64_t>(d.inputs, 1)));
    check(d,
          {random_values(static_cast<std::size_t>(d.batch * d.inputs), seed),
           random_values(static_cast<std::size_t>(d.inputs * d.units), seed + 1, 2 * width),
           random_values(static_cast<std::size_t>(d.units), seed + 2)},
          offsets);
  }
  /// Compares with a sum in float64 of the stored values.
  void check(const DenseDesc& d, const Data& data, const Offsets& offsets = {}) {
    SCOPED_TRACE(core::format("{} {}x{}x{} {} {}, past alignment: src {}, dst {}", GetParam(), d.batch, d.inputs, d.units,
                              to_string(d.activation.kind), to_string(d.dtype), offsets.src, offsets.dst));
    const auto size = [](std::int64_t a, std::int64_t b) { return static_cast<std::size_t>(a * b); };
    const DType weights = d.dtype == DType::float64 ? DType::float64 : DType::float32;
    const auto x = rounded(data.x, d.dtype);
    const auto w = rounded(rounded(data.w, weights), d.dtype);
    const auto b = rounded(rounded(data.b, weights), d.dtype);
    std::vector<Bytes> srcs;
    srcs.push_back(stored(x, d.dtype, offsets.src * size_of(d.dtype)));
    const auto constants = d.has_bias ? constants_of({w, b}, weights) : constants_of({w}, weights);
    const auto y = run(d, constants, std::move(srcs), d.dtype, size(d.batch, d.units), GetParam(), 2, offsets.dst);
    const Truth f = truths().at(to_string(d.activation.kind));
    const double u = std::min(roundoff(d.dtype), 0x1p-24);
    const double subnormal = d.dtype == DType::float16 ? 0x1p-25 : 0;  // half the smallest subnormal number
    for (std::int64_t r = 0; r < d.batch; ++r) {
      for (std::int64_t c = 0; c < d.units; ++c) {
        double z = d.has_bias ? b[static_cast<std::size_t>(c)] : 0.0;
        double a = std::fabs(z);
        for (std::int64_t k = 0; k < d.inputs; ++k) {
          const double product =
              x[size(r, d.inputs) + static_cast<std::size_t>(k)] * w[size(k, d.units) + static_cast<std::size_t>(c)];
          z += product;
          a += std::fabs(product);
        }
        const double error = 4 * std::sqrt(static_cast<double>(d.inputs + 1)) * u * a + u * std::fabs(z);
        const double got = y[size(r, d.units) + static_cast<std::size_t>(c)];
        // Where the activation jumps, a result on the other side is right if the error of the sum can cross the jump.
        bool right = false;
        double low = std::numeric_limits<double>::infinity();
        double high = -low;
        for (const double near : {z, z - error, z + error}) {
          const double want = f(near, d.activation.parameters);
          const double slope = d.activation.kind == ActivationKind::Exponential ? std::exp(z + 0.1) : 1.8;
          const double bound = slope * error +
                               (2 * std::max(1, ulp_bound(d.activation.kind)) * u + roundoff(d.dtype)) * std::fabs(want) +
                               1e-7 * roundoff(d.dtype) + subnormal;
          right = right || std::fabs(got - want) <= bound || (std::isnan(got) && std::isnan(want));
          low = std::fmin(low, want - bound);
          high = std::fmax(high, want + bound);
        }
        right = right || (got >= low && got <= high);  // between the activation's values at both ends of the sum's error
        ASSERT_TRUE(right) << "row " << r << " column " << c << ": got " << got << ", want " << f(z, d.activation.parameters);
      }
    }
  }
  /// What the engine takes of these sizes: where it has limits, fewer rows and more inputs. Nothing if it does not take the type.
  [[nodiscard]] std::optional<DenseDesc> desc(const Sizes& s, DType dtype) const {
    const auto found = usual_.find(dtype);
    if (found == usual_.end()) return std::nullopt;
    DenseDesc d = found->second;
    d.units = s.units;
    for (const std::int64_t rows : {s.batch, std::min<std::int64_t>(s.batch, 8)}) {
      for (const std::int64_t inputs : {s.inputs, s.inputs + 64}) {
        d.batch = rows;
        d.inputs = inputs;
        if (accepts(d, GetParam())) return d;
      }
    }
    EXPECT_EQ(s.batch * s.inputs * s.units, 0) << "it takes " << to_string(dtype) << ", but not " << s.batch << " x " << s.inputs
                                               << " x " << s.units << ": " << refusal(d, GetParam());
    return std::nullopt;
  }
  /// The same in the first type that the engine takes.
  [[nodiscard]] DenseDesc desc(const Sizes& s) const {
    const auto first = std::find_if(std::begin(kAll), std::end(kAll), [&](DType dtype) { return usual_.count(dtype) != 0; });
    return desc(s, *first).value();
  }

 private:
  /// Arithmetic and activation of which the engine takes the type: exact arithmetic rather than faster, an activation rather than
  /// none. Nothing, and `why`, if it takes none.
  [[nodiscard]] static std::optional<DenseDesc> usual(DType dtype, std::string& why) {
    for (const Math math : {Math::exact, Math::bf16x6}) {
      for (const char* const activation : {"tanh", "relu", "linear"}) {  // vendors have few activations with Keras' formula
        const DenseDesc d{4, 128, 16, true, activation_of(activation), dtype, math};
        why = refusal(d, GetParam());
        if (why.empty()) return d;
      }
    }
    return std::nullopt;
  }

  std::map<DType, DenseDesc> usual_;
};

TEST_P(EachDenseEngine, IsRightAtAwkwardSizesInEveryType) {
  std::vector<Sizes> sizes(std::begin(kAwkward), std::end(kAwkward));
  sizes.insert(sizes.end(), {{1, 1, 1}, {3, 7, 31}, {33, 127, 129}, {7, 1027, 3}, {129, 33, 64}, {64, 64, 65}, {31, 600, 71}});
  unsigned seed = 1;
  Thinning thinning;
  for (const DType dtype : kAll) {
    for (const Sizes& s : sizes) {
      for (const bool bias : {false, true}) {
        if (thinning.leaves_out()) continue;
        std::optional<DenseDesc> d = desc(s, dtype);
        if (!d) continue;
        d->has_bias = bias;
        if (accepts(*d, GetParam())) check(*d, seed += 3);
      }
    }
  }
}

/// So long that an engine for few rows divides the inputs among blocks.
TEST_P(EachDenseEngine, AddsLongSumsOfFewRows) {
  for (const DType dtype : {DType::float32, DType::bfloat16}) {
    for (const std::int64_t batch : {1, 7, 40}) {
      if (const auto d = desc({batch, 8296, 19}, dtype)) check(*d, 70);
    }
  }
}

/// Every activation with every type at two awkward sizes and two alignments each, so that all pairs of these occur.
TEST_P(EachDenseEngine, ComputesEveryActivationInEveryTypeThatItAccepts) {
  int done = 0;
  Thinning thinning;
  for (int k = 0;; ++k) {
    const auto kind = static_cast<ActivationKind>(k);
    if (is_rowwise(kind)) break;
    ActivationSpec activation{.kind = kind};
    for (std::size_t i = 0; i < parameters_of(kind).size(); ++i) {
      const double value = parameters_of(kind)[i].default_value;
      activation.parameters[i] = value == 0 ? 0.25 : value;
    }
    for (std::size_t t = 0; t < 3; ++t) {
      for (const std::size_t step : {std::size_t{0}, std::size_t{4}}) {
        const auto which = static_cast<std::size_t>(k) + 3 * t + step;
        for (const Sizes s : {kAwkward[which % std::size(kAwkward)], Sizes{5, 33, 71}}) {
          std::optional<DenseDesc> d = desc(s, kAll[t]);
          if (!d) continue;
          d->activation = activation;
          if (!accepts(*d, GetParam()) || thinning.leaves_out()) continue;
          check(*d, static_cast<unsigned>(100 + k), {which % 5, which % 3});
          ++done;
        }
      }
    }
  }
  EXPECT_GE(done, 1);
}

TEST_P(EachDenseEngine, AcceptsPointersOfAnyAlignment) {
  Thinning thinning;
  for (const DType dtype : kAll) {
    for (const Sizes s : {Sizes{5, 16, 32}, {3, 7, 31}}) {
      const std::optional<DenseDesc> d = desc(s, dtype);
      if (!d) continue;
      for (std::size_t i = 0; i < 9; ++i) {
        for (const Offsets offsets : {Offsets{i, 0}, Offsets{0, i}, Offsets{i, 9 - i}}) {
          if (!thinning.leaves_out()) check(*d, 11, offsets);
        }
      }
    }
  }
}

TEST_P(EachDenseEngine, AcceptsSizesOfZeroOrSaysWhyNot) {
  for (const DType dtype : kAll) {
    for (const Sizes s : {Sizes{0, 3, 5}, {3, 0, 5}, {3, 5, 0}, {0, 0, 0}}) {
      if (const auto d = desc(s, dtype)) check(*d, 7);
    }
  }
}

TEST_P(EachDenseEngine, AddsIntegersExactly) {
  for (const DType dtype : kAll) {
    std::optional<DenseDesc> d = desc({8, 64, 65}, dtype);
    if (!d || d->inputs != 64) continue;
    d->activation = {};
    std::vector<double> x(8 * 64);
    std::vector<double> w(64 * 65);
    const std::vector<double> b(65, 3.0);
    for (std::size_t i = 0; i < x.size(); ++i) x[i] = i % 11 == 0 ? 2.0 : i % 13 == 0 ? -1.0 : 0.0;
    for (std::size_t i = 0; i < w.size(); ++i) w[i] = static_cast<double>(i % 7) - 3;
    std::vector<Bytes> srcs;
    srcs.push_back(stored(x, dtype));
    const auto y = run(*d, constants_of({w, b}), std::move(srcs), dtype, 8 * 65, GetParam());
    for (std::size_t r = 0; r < 8; ++r) {
      for (std::size_t c = 0; c < 65; ++c) {
        double want = 3;
        for (std::size_t k = 0; k < 64; ++k) want += x[r * 64 + k] * w[k * 65 + c];
        ASSERT_EQ(y[r * 65 + c], want) << to_string(dtype);
      }
    }
  }
}

/// One row each: all positive; pairs that cancel, and a tiny rest; one huge element among tiny ones; alternating magnitudes;
/// sums near the largest number of the type. Then subnormals, with weights that make them matter.
TEST_P(EachDenseEngine, IsRightForRowsThatAreHardToSum) {
  constexpr std::size_t kInputs = 130;
  constexpr std::size_t kUnits = 37;
  for (const DType dtype : {DType::float32, DType::bfloat16, DType::float16}) {
    std::optional<DenseDesc> d = desc({5, kInputs, kUnits}, dtype);
    if (!d || d->inputs != kInputs) continue;
    d->activation = {};
    const bool half = dtype == DType::float16;
    const auto v = random_values(kInputs, 22);
    Data data{std::vector<double>(5 * kInputs), random_values(kInputs * kUnits, 21), std::vector<double>(kUnits, 0.0)};
    for (std::size_t k = 0; k < kInputs; ++k) {
      const double rows[] = {std::fabs(v[k]), k + 1 == kInputs ? 1e-5 : (k % 2 == 0 ? v[k] : -v[k - 1]),
                             k == 77 ? 2e4 : 1e-4 * v[k], std::ldexp(v[k], k % 2 == 0 ? 9 : -9), (half ? 300 : 3e35) * v[k]};
      for (std::size_t r = 0; r < std::size(rows); ++r) data.x[r * kInputs + k] = rows[r];
      if (k % 2 == 0) continue;  // both of a pair have the same weights
      for (std::size_t c = 0; c < kUnits; ++c) data.w[k * kUnits + c] = data.w[(k - 1) * kUnits + c];
    }
    check(*d, data);
    const bool by_onednn = !device().is_cuda() && (GetParam().find("onednn") != std::string::npos || GetParam() == "unfused");
    if (by_onednn && dtype == DType::bfloat16) continue;  // the processor's bfloat16 instructions treat subnormals as zero
    for (std::size_t k = 0; k < data.x.size(); ++k) data.x[k] = (half ? 3e-7 : 3e-40) * static_cast<double>(1 + k % 5);
    for (double& w : data.w) w *= half ? 500 : 1e36;
    check(*d, data);
  }
}

TEST_P(EachDenseEngine, PassesNaNAndInfinitiesOn) {
  for (const char* kind : {"linear", "relu", "tanh", "sigmoid", "gelu", "relu6", "elu", "leaky_relu", "silu", "mish"}) {
    DenseDesc d = desc({4, 1, 17});
    d.activation = activation_of(kind);
    if (!accepts(d, GetParam())) continue;
    constexpr double kInf = std::numeric_limits<double>::infinity();
    std::vector<Bytes> srcs;
    std::vector<double> x(static_cast<std::size_t>(4 * d.inputs));
    const double first[] = {std::nan(""), kInf, -kInf, 1.0};
    for (std::size_t r = 0; r < 4; ++r) x[r * static_cast<std::size_t>(d.inputs)] = first[r];
    srcs.push_back(stored(x, d.dtype));
    const std::vector<double> ones(static_cast<std::size_t>(d.inputs * 17), 1.0);
    const auto y = run(d, constants_of({ones, std::vector<double>(17)}), std::move(srcs), d.dtype, 4 * 17, GetParam());
    EXPECT_TRUE(std::isnan(y[0])) << kind;
    EXPECT_TRUE(std::isnan(y[16])) << kind;
    const bool grows = d.activation.kind != ActivationKind::Tanh && d.activation.kind != ActivationKind::Sigmoid &&
                       d.activation.kind != ActivationKind::Relu6;
    EXPECT_EQ(std::isinf(y[17]), grows) << kind;
    EXPECT_FALSE(std::isnan(y[51])) << kind;
  }
}

TEST_P(EachDenseEngine, GivesTheSameBitsEveryTime) {
  const DenseDesc d = desc({37, 129, 127});
  const auto rows = static_cast<std::size_t>(d.batch);
  const auto inputs = static_cast<std::size_t>(d.inputs);
  const auto x = rounded(random_values(rows * inputs, 5), d.dtype);
  const auto constants = constants_of({random_values(inputs * 127, 6), random_values(127, 7)});
  std::vector<double> first;
  for (int i = 0; i < 3; ++i) {
    std::vector<Bytes> srcs;
    srcs.push_back(stored(x, d.dtype));
    const auto y = run(d, constants, std::move(srcs), d.dtype, rows * 127, GetParam());
    if (i == 0) first = y;
    ASSERT_EQ(y, first);
  }
}

/// An engine that takes Determinism::batch_invariant keeps its promise: the bits of a row depend on that row alone.
TEST_P(EachDenseEngine, GivesARowTheSameBitsInEveryBatchIfItTakesThat) {
  for (const DType dtype : kAll) {
    std::optional<DenseDesc> d = desc({129, 515, 71}, dtype);
    if (!d) continue;
    d->determinism = Determinism::batch_invariant;
    if (!accepts(*d, GetParam())) continue;
    const auto inputs = static_cast<std::ptrdiff_t>(d->inputs);
    const auto x = rounded(random_values(static_cast<std::size_t>(d->batch * d->inputs), 8), dtype);
    const auto constants =
        constants_of({random_values(static_cast<std::size_t>(d->inputs * d->units), 9), random_values(71, 10)});
    const auto rows = [&](std::ptrdiff_t begin, std::int64_t count) {
      std::vector<Bytes> srcs;
      srcs.push_back(stored({x.begin() + begin * inputs, x.begin() + (begin + count) * inputs}, dtype));
      d->batch = count;
      return run(*d, constants, std::move(srcs), dtype, static_cast<std::size_t>(count * d->units), GetParam());
    };
    const std::int64_t most = d->batch;
    const auto all = rows(0, most);
    for (const std::int64_t count : {1, 2, 7, 16, 33, 64}) {
      if (count >= most) break;
      const std::ptrdiff_t begin = most - count;  // another place in the batch
      const auto some = rows(begin, count);
      ASSERT_TRUE(std::equal(some.begin(), some.end(), all.begin() + begin * d->units))
          << count << " rows in " << to_string(dtype);
    }
  }
}

/// Engines that make further passes fuse nothing; the others name what there is to fuse.
TEST_P(EachDenseEngine, NamesTheBiasAndTheActivationOnlyWhereThereIsOne) {
  const auto fused = [](DenseDesc d, bool has_bias, const ActivationSpec& activation) {
    d.has_bias = has_bias;
    d.activation = activation;
    std::vector<std::vector<double>> zeros{std::vector<double>(static_cast<std::size_t>(d.inputs) * 8)};
    if (has_bias) zeros.emplace_back(8);
    return device_ops().plan(d, constants_of(zeros), context(), GetParam()).fused;
  };
  const DenseDesc d = desc({4, 64, 8});
  EXPECT_EQ(fused(d, false, {}), "");
  const std::string bias = fused(d, true, {});
  EXPECT_TRUE(bias.empty() || bias == "bias") << bias;
  if (d.activation.kind == ActivationKind::Linear) return;  // the vendor computes another formula
  EXPECT_EQ(fused(d, true, d.activation), bias.empty() ? "" : "bias+activation");
  EXPECT_EQ(fused(d, false, d.activation), bias.empty() ? "" : "activation");
}

TEST_P(EachDenseEngine, RefusesIntegers) {
  DenseDesc d = desc({2, 3, 4});
  d.dtype = DType::int32;
  EXPECT_FALSE(accepts(d, GetParam()));
}

INSTANTIATE_TEST_SUITE_P(All, EachDenseEngine, testing::ValuesIn(dense_engine_names()),
                         [](const auto& parameter) { return parameter.param; });

}  // namespace
}  // namespace lamella::test
