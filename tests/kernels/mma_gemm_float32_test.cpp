// SPDX-License-Identifier: Apache-2.0
#include "kernels/mma_float32.hpp"

#include <functional>
#include <optional>

#include "tests/kernels/mma_case.hpp"

namespace lamella::test {
namespace {

using kernels::MmaFloat32Layout;
using kernels::MmaTile;

constexpr double kInf = std::numeric_limits<double>::infinity();
constexpr double kUnit = 0x1p-24;

using Case = MmaCase<DType::float32>;

/// The parts of the kernel in their order, as the bfloat16 that they are.
class Parts {
 public:
  Parts(const Case& c, const DenseData& data)
      : bits_(static_cast<std::size_t>(MmaFloat32Layout{c.inputs, c.units}.elements()) + 8) {
    const MmaFloat32Layout layout{c.inputs, c.units};
    while (reinterpret_cast<std::uintptr_t>(bits_.data() + offset_) % 16 != 0) ++offset_;
    for (std::int64_t i = 0; i < c.inputs; ++i) {
      for (std::int64_t u = 0; u < c.units; ++u) {
        const kernels::MmaParts parts = kernels::mma_parts(static_cast<float>(data.w[static_cast<std::size_t>(i * c.units + u)]));
        std::uint16_t* const to = bits_.data() + offset_ + layout.at(i, u);
        to[0] = parts.high;
        to[MmaFloat32Layout::kPart] = parts.middle;
        to[2 * MmaFloat32Layout::kPart] = parts.low;
      }
    }
    allocation_.emplace(data_(), static_cast<std::size_t>(layout.elements()) * 2, true);
  }
  [[nodiscard]] const void* data() const { return data_(); }

 private:
  [[nodiscard]] const std::uint16_t* data_() const { return bits_.data() + offset_; }
  std::vector<std::uint16_t> bits_;
  std::size_t offset_ = 0;
  std::optional<Allocation> allocation_;
};

std::vector<double> run(const Case& c, const DenseData& data) {
  const Parts kernel(c, data);
  return run_mma(c, data, kernel.data(), kernels::mma_gemm_float32);
}

/// What docs/accuracy.md promises: units of the magnitudes' sum.
double most_units(std::int64_t inputs) { return 42 + static_cast<double>(inputs) / 8; }

void check(const Case& c, const DenseData& data) {
  expect_sums(c, data, run(c, data), most_units(c.inputs) * kUnit / static_cast<double>(c.inputs + 2));
}
void check(const Case& c) { check(c, random_data(c)); }

class MmaGemmFloat32Test : public TensorCoreTest {};

TEST_F(MmaGemmFloat32Test, IsRightInAnyShape) {
  for (const std::int64_t batch : {0, 1, 7, 65}) {
    for (const std::int64_t inputs : {0, 1, 15, 33, 50}) {
      for (const std::int64_t units : {0, 1, 12, 65})
        check({.tile = MmaTile::few_rows, .batch = batch, .inputs = inputs, .units = units});
    }
  }
  for (const std::int64_t batch : {1, 33, 130}) {
    for (const std::int64_t inputs : {1, 40, 67}) {
      for (const std::int64_t units : {3, 64, 129})
        check({.tile = MmaTile::many_rows, .batch = batch, .inputs = inputs, .units = units});
    }
  }
}

TEST_F(MmaGemmFloat32Test, ReadsAndWritesPacksWhereItCan) {
  for (const MmaTile tile : kMmaTiles) {
    for (const std::int64_t inputs : {4, 32, 72, 301}) {
      for (const std::int64_t units : {4, 68, 70})
        check({.tile = tile, .batch = 35, .inputs = inputs, .units = units, .src_aligned = true, .dst_aligned = true});
    }
  }
}

TEST_F(MmaGemmFloat32Test, AppliesEveryActivationToTheSum) { expect_every_activation<DType::float32>(DType::float32, run); }

TEST_F(MmaGemmFloat32Test, ASampleHasTheSameBitsInEveryBatchAndTile) {
  expect_bits_of_batch_in_parts<DType::float32>(DType::float32, run);
}

/// The sums by float32 multiply-adds over the inputs in order, then the bias.
std::vector<double> by_multiply_adds(const Case& c, const DenseData& data) {
  std::vector<double> sums;
  for (std::int64_t b = 0; b < c.batch; ++b) {
    for (std::int64_t u = 0; u < c.units; ++u) {
      float sum = 0;
      for (std::int64_t i = 0; i < c.inputs; ++i)
        sum = std::fma(static_cast<float>(data.x[static_cast<std::size_t>(b * c.inputs + i)]),
                       static_cast<float>(data.w[static_cast<std::size_t>(i * c.units + u)]), sum);
      sums.push_back(c.bias ? sum + static_cast<float>(data.b[static_cast<std::size_t>(u)]) : sum);
    }
  }
  return sums;
}

/// Numbers for an input's index.
struct Numbers {
  const char* name;
  std::function<double(std::mt19937&, std::int64_t)> x, w;
  bool random = true;  ///< nothing in them favours an order of the sum
};

double normal(std::mt19937& generator) { return std::normal_distribution<double>()(generator); }
double share(std::mt19937& generator) { return std::uniform_real_distribution<double>()(generator); }

std::vector<Numbers> hard_numbers() {
  const auto plain = [](std::mt19937& g, std::int64_t) { return normal(g); };
  const auto up = [](std::mt19937& g, std::int64_t i) { return std::ldexp(normal(g), static_cast<int>(i % 141) - 90); };
  const auto down = [](std::mt19937& g, std::int64_t i) { return std::ldexp(normal(g), 8 - static_cast<int>(i % 141)); };
  const auto any = [](std::mt19937& g, std::int64_t) { return std::ldexp(normal(g), static_cast<int>(g() % 41) - 30); };
  const auto positive = [](std::mt19937& g, std::int64_t) { return share(g); };
  const auto full = [](std::mt19937& g, std::int64_t) { return 1 + std::ldexp(share(g), -7); };  // all parts are large
  const auto scaled = [](double by) { return [by](std::mt19937& g, std::int64_t) { return by * normal(g); }; };
  const auto subnormal = [](double by) {
    return [by](std::mt19937& g, std::int64_t) { return by * static_cast<double>(1 + g() % 7); };
  };
  const auto cancels = [](std::mt19937& g, std::int64_t i) {  // a huge pair in every eight, and small numbers
    return i % 8 < 2 ? (i % 2 == 0 ? 1e6 : -1e6) : normal(g);
  };
  const auto ones = [](std::mt19937& g, std::int64_t i) { return i % 8 < 2 ? 1 : normal(g); };
  const auto shared = [](double by) { return [by](std::mt19937& g, std::int64_t) { return by * (1 - share(g) / 8); }; };
  const auto back = [](double by, std::int64_t after) {  // cancel what is this many inputs before
    return [by, after](std::mt19937& g, std::int64_t i) { return (i / after % 2 == 0 ? by : -by) * (1 - share(g) / 8); };
  };
  return {{"normal", plain, plain},
          {"positive", positive, positive},
          {"as near to the next bfloat16 as they may be", full, full},
          {"of any magnitude", any, any},
          {"wide and opposite", up, down},
          {"subnormal rows", subnormal(3e-40), scaled(1e3)},
          {"subnormal weights", scaled(1e17), subnormal(3e-41)},
          {"near the largest", scaled(3e35), plain},
          {"large, with large sums", scaled(3e17), scaled(1e17)},
          {"below the limits", shared(kernels::kMmaInputLimit), shared(kernels::kMmaWeightLimit)},
          {"below the limits, chunks cancel", back(kernels::kMmaInputLimit, 16), shared(kernels::kMmaWeightLimit)},
          {"large inputs in chunks that cancel", back(5e19, 16), shared(8000)},
          {"large inputs in halves of chunks that cancel", back(5e19, 8), shared(8000)},
          {"large weights in chunks that cancel", shared(2e18), back(2e5, 16)},
          {"large in chunks that cancel", back(3e18, 16), shared(1e19)},
          {"pairs that cancel", cancels, ones, false}};
}

/// The promise of docs/accuracy.md, and how the errors compare with those of multiply-adds on the same numbers.
TEST_F(MmaGemmFloat32Test, ErrsByNoMoreThanIsPromised) {
  for (const Numbers& numbers : hard_numbers()) {
    for (const std::int64_t inputs : {64, 520}) {
      const Case c{.tile = MmaTile::few_rows, .batch = 9, .inputs = inputs, .units = 33, .bias = false};
      std::mt19937 generator(7);
      DenseData data{std::vector<double>(static_cast<std::size_t>(c.batch * inputs)),
                     std::vector<double>(static_cast<std::size_t>(inputs * c.units)),
                     {}};
      for (std::size_t i = 0; i < data.x.size(); ++i) {
        data.x[i] = static_cast<float>(numbers.x(generator, static_cast<std::int64_t>(i) % inputs));
      }
      for (std::size_t i = 0; i < data.w.size(); ++i)
        data.w[i] = static_cast<float>(numbers.w(generator, static_cast<std::int64_t>(i) / c.units));
      data.b.assign(static_cast<std::size_t>(c.units), 0);
      const std::vector<double> y = run(c, data);
      const std::vector<double> usual = by_multiply_adds(c, data);
      const Sums s = sums_of(c, data);
      double worst = 0;
      double usual_worst = 0;
      for (std::size_t i = 0; i < y.size(); ++i) {
        if (!std::isfinite(usual[i]) || !std::isfinite(y[i])) {
          EXPECT_TRUE(usual[i] == y[i] || (std::isnan(usual[i]) && std::isnan(y[i]))) << numbers.name;
          continue;
        }
        const double error = std::max(0.0, std::fabs(y[i] - s.sum[i]) - 0x1p-150) / (kUnit * s.size[i]);
        ASSERT_LE(error, most_units(inputs)) << numbers.name << ": " << s.sum[i] << ", got " << y[i];
        worst = std::max(worst, error);
        usual_worst = std::max(usual_worst, std::max(0.0, std::fabs(usual[i] - s.sum[i]) - 0x1p-150) / (kUnit * s.size[i]));
      }
      if (numbers.random) {
        EXPECT_LE(worst, 1.5 * usual_worst) << numbers.name << ", " << inputs << " inputs";
      }
    }
  }
}

/// The same bits as multiply-adds wherever these are not finite, and where the parts of numbers are not.
TEST_F(MmaGemmFloat32Test, InfinitiesAndNaNAreThoseOfMultiplyAdds) {
  for (const MmaTile tile : kMmaTiles) {
    for (const bool aligned : {false, true}) {
      const Case c{.tile = tile, .batch = 24, .inputs = 40, .units = 72, .src_aligned = aligned, .dst_aligned = aligned};
      DenseData data = random_data(c);
      const double most = std::numeric_limits<float>::max();
      data.x[3 * 40 + 39] = std::nan("");
      data.x[17 * 40] = kInf;
      data.x[18 * 40] = kInf;
      data.x[18 * 40 + 1] = -kInf;
      data.x[19 * 40 + 3] = kInf;  // times 0
      data.x[20 * 40 + 5] = most;
      data.x[21 * 40 + 5] = most;  // and back
      data.x[21 * 40 + 6] = -most;
      data.w[39 * 72 + 71] = -kInf;
      data.w[2 * 72 + 5] = std::nan("");
      for (std::int64_t u = 0; u < 72; u += 2) data.w[static_cast<std::size_t>(3 * 72 + u)] = 0;
      data.w[7 * 72 + 9] = most;
      data.b[7] = kInf;
      const std::vector<double> y = run(c, data);
      const std::vector<double> usual = by_multiply_adds(c, data);
      const Sums s = sums_of(c, data);
      for (std::size_t i = 0; i < y.size(); ++i) {
        const bool same = y[i] == usual[i] || (std::isnan(y[i]) && std::isnan(usual[i]));
        if (std::isfinite(usual[i])) {
          ASSERT_TRUE(same || std::fabs(y[i] - s.sum[i]) <= most_units(c.inputs) * kUnit * s.size[i]) << i;
        } else {
          ASSERT_TRUE(same) << "row " << i / 72 << ", unit " << i % 72 << ": " << usual[i] << ", got " << y[i];
        }
      }
    }
  }
}

TEST_F(MmaGemmFloat32Test, RefusesWhatItCannotDo) {
  Buffer memory(4096, DType::float32, true);
  const kernels::Dense args{{}, DType::float32, memory.data(), memory.data(), nullptr, memory.data(), 1, 4, 4};
  const auto refused = [&](auto change) {
    kernels::Dense bad = args;
    change(bad);
    return kernels::mma_gemm_float32(bad, MmaTile::automatic, nullptr) == cudaErrorInvalidValue;
  };
  EXPECT_TRUE(refused([](auto& a) { a.dtype = DType::float16; }));
  EXPECT_TRUE(refused([](auto& a) { a.inputs = kernels::kMostMmaInputs + 1; }));
  EXPECT_TRUE(refused([](auto& a) { a.units = MmaFloat32Layout::kMostUnits + 1; }));
  EXPECT_TRUE(refused([](auto& a) { a.kernel = static_cast<const char*>(a.kernel) + 2; }));
  EXPECT_TRUE(refused([](auto& a) { a.activation.kind = ActivationKind::Softmax; }));
}

TEST(MmaFloat32LayoutTest, EveryWeightHasItsOwnPlace) {
  const MmaFloat32Layout layout{70, 130};
  EXPECT_EQ(layout.elements(), 80 * 160 * 3);
  std::vector<int> taken(static_cast<std::size_t>(layout.elements()));
  for (std::int64_t i = 0; i < 80; ++i) {
    for (std::int64_t u = 0; u < 160; ++u) {
      for (std::int64_t part = 0; part < 3; ++part)
        ++taken.at(static_cast<std::size_t>(layout.at(i, u) + part * MmaFloat32Layout::kPart));
    }
  }
  EXPECT_THAT(taken, testing::Each(1));
}

TEST(MmaFloat32LayoutTest, PartsAddUpToTheWeight) {
  const auto value = [](std::uint16_t bits) { return std::bit_cast<float>(static_cast<std::uint32_t>(bits) << 16); };
  std::mt19937 generator(3);
  for (int n = 0; n < 100'000; ++n) {
    const auto weight = std::bit_cast<float>(static_cast<std::uint32_t>(generator()));
    const kernels::MmaParts parts = kernels::mma_parts(weight);
    if (std::isnan(value(parts.high))) {
      EXPECT_FALSE(std::fabs(weight) < kernels::kMmaWeightLimit);
      EXPECT_EQ(static_cast<std::uint32_t>(parts.middle) << 16 | parts.low, std::bit_cast<std::uint32_t>(weight));
      continue;
    }
    const double sum = double{value(parts.high)} + double{value(parts.middle)} + double{value(parts.low)};
    ASSERT_EQ(sum / kernels::kMmaScale, double{weight});
    ASSERT_LE(std::fabs(value(parts.middle)), std::ldexp(std::fabs(weight), 24 - 8));
    ASSERT_LE(std::fabs(value(parts.low)), std::ldexp(std::fabs(weight), 24 - 17));
  }
}

}  // namespace
}  // namespace lamella::test
