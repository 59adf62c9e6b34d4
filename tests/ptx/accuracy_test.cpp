// SPDX-License-Identifier: Apache-2.0
// The part "Device, compiled code" of docs/accuracy.md: the results of the activations' kernels when the PTX that nvcc compiles
// is executed. This test compares the page with them, and writes it when run with LAMELLA_WRITE_DOCS=1.
#include <gmock/gmock.h>

#include <array>
#include <bit>
#include <cstdlib>
#include <iomanip>
#include <sstream>
#include <string>
#include <vector>

#include "core/activation_measure.hpp"
#include "core/docs_page.hpp"
#include "core/rounding.hpp"
#include "kernels/kernels.hpp"
#include "tests/kernels/kernel_support.hpp"
#include "tests/ptx/approximate_formulas.hpp"
#include "tests/ptx/runtime.hpp"

namespace lamella::test {
namespace {

constexpr std::uint64_t kStride = 4093;  // of float32
constexpr double kMostBeforeRounding = 0.05;

template <typename T>
inline constexpr DType kType = DType::float32;
template <>
inline constexpr DType kType<float16> = DType::float16;
template <>
inline constexpr DType kType<bfloat16> = DType::bfloat16;

/// Every `stride`-th finite number of a type, in the order of their bits.
template <typename T>
std::vector<T> numbers(std::uint64_t stride) {
  std::vector<T> result;
  for (std::uint64_t bits = 0; bits < std::uint64_t{1} << (8 * sizeof(T)); bits += stride) {
    T x;
    if constexpr (std::is_same_v<T, float>) {
      x = std::bit_cast<float>(static_cast<std::uint32_t>(bits));
    } else {
      x.bits = static_cast<std::uint16_t>(bits);
    }
    if (std::isfinite(static_cast<float>(x))) result.push_back(x);
  }
  return result;
}

/// Maps 16-bit numbers to integers in the same order, as place() does for float32.
template <typename T>
std::int64_t place(T x) {
  const std::int64_t magnitude = x.bits & 0x7FFF;
  return (x.bits & 0x8000) != 0 ? -magnitude : magnitude;
}

std::int64_t distance(float y, double truth) { return ulps(y, truth); }
template <typename T>
std::int64_t distance(T y, double truth) {
  if (std::isnan(static_cast<float>(y)) || std::isnan(truth)) return ulps(static_cast<float>(y), truth);
  return std::llabs(place(y) - place(T(core::to_odd(truth))));
}

template <typename T>
Worst worst_of(ActivationKind kind, const std::vector<T>& x) {
  const auto n = static_cast<std::int64_t>(x.size());
  std::vector<T> y(x.size());
  const Allocation from(x.data(), x.size() * sizeof(T), true);
  const Allocation to(y.data(), y.size() * sizeof(T), false);
  Worst worst;
  for (const std::array<float, 3>& p : measured_parameters(kind)) {
    EXPECT_EQ(kernels::elementwise({kind, {p[0], p[1], p[2]}}, kType<T>, x.data(), y.data(), n, nullptr), cudaSuccess);
    for (std::size_t i = 0; i < x.size(); ++i) {
      const auto input = static_cast<float>(x[i]);
      const std::int64_t found = distance(y[i], truths().at(to_string(kind))(input, {p[0], p[1], p[2]}));
      if (found > worst.ulps) worst = {found, input};
    }
  }
  return worst;
}

/// What 16 bits hold, and floats of all sizes: sums and what a bias was added to.
std::vector<float> inputs_of_16_bits() {
  std::vector<float> result = numbers<float>(65521);
  for (const float16 x : numbers<float16>(1)) result.push_back(static_cast<float>(x));
  for (const bfloat16 x : numbers<bfloat16>(1)) result.push_back(static_cast<float>(x));
  return result;
}

/// The distance from the truth before the rounding to a 16-bit type, in its units in the last place.
double distance_before_rounding(DType dtype, float y, double truth) {
  if (std::isnan(y) || std::isnan(truth)) return std::isnan(y) == std::isnan(truth) ? 0 : HUGE_VAL;
  const double largest = format_of(dtype).largest;
  const double overflows = largest + spacing(dtype, largest) / 2;
  if (std::fabs(truth) > overflows && std::fabs(y) > overflows && std::signbit(y) == std::signbit(truth)) return 0;
  return std::fabs(static_cast<double>(y) - truth) / spacing(dtype, truth);
}

/// The largest of these distances, for all seeds with all the error that is allowed.
double worst_before_rounding(ActivationKind kind, const std::vector<float>& x) {
  constexpr unsigned kSeeds = 4;
  const auto n = static_cast<std::int64_t>(x.size());
  std::vector<float> y(x.size());
  const Allocation from(x.data(), x.size() * sizeof(float), true);
  const Allocation to(y.data(), y.size() * sizeof(float), false);
  double worst = 0;
  for (const std::array<float, 3>& p : measured_parameters(kind)) {
    std::vector<double> exact(x.size());
    for (std::size_t i = 0; i < x.size(); ++i) exact[i] = truths().at(to_string(kind))(x[i], {p[0], p[1], p[2]});
    for (unsigned seed = 1; seed <= kSeeds; ++seed) {
      ptx::runtime::approximate(1, seed);
      EXPECT_EQ(approximate_formula({kind, {p[0], p[1], p[2]}}, x.data(), y.data(), n), cudaSuccess);
      for (std::size_t i = 0; i < x.size(); ++i) {
        const double distance = std::max(distance_before_rounding(DType::float16, y[i], exact[i]),
                                         distance_before_rounding(DType::bfloat16, y[i], exact[i]));
        worst = std::max(worst, distance);
      }
    }
  }
  return worst;
}

/// Shares of the error that the PTX manual allows instructions of the .approx kind.
constexpr double kNone = 0;
constexpr double kAssumed = 0.36;  ///< 0.9 ulp for ex2: what the bounds of activation.def hold with
constexpr double kAllowed = 1;

struct Row {
  ActivationKind kind;
  std::array<Worst, 3> single;         ///< with none, the assumed, and the allowed error
  std::array<std::int64_t, 2> narrow;  ///< of 16 bits: with none, and the allowed error
  double before_rounding = 0;          ///< to 16 bits, with the allowed error
};

std::vector<Row> measure() {
  const std::vector<float> singles = numbers<float>(kStride);
  const std::vector<float16> halves = numbers<float16>(1);
  const std::vector<bfloat16> brains = numbers<bfloat16>(1);
  std::vector<Row> rows;
  for (const ActivationKind kind : elementwise_kinds()) rows.push_back({kind, {}, {}, 0});
  for (std::size_t mode = 0; mode < 3; ++mode) {
    ptx::runtime::approximate(std::array{kNone, kAssumed, kAllowed}[mode], 1);
    for (Row& row : rows) {
      row.single[mode] = worst_of(row.kind, singles);
      if (mode != 1) row.narrow[mode / 2] = std::max(worst_of(row.kind, halves).ulps, worst_of(row.kind, brains).ulps);
    }
  }
  const std::vector<float> inputs = inputs_of_16_bits();
  for (Row& row : rows) row.before_rounding = worst_before_rounding(row.kind, inputs);
  ptx::runtime::approximate(kNone, 1);
  return rows;
}

std::string cell(const Worst& worst) {
  std::ostringstream out;
  out << " | " << worst.ulps;
  if (worst.ulps > 0) out << " at " << std::setprecision(6) << worst.x;
  return out.str();
}

/// Rounded up to a multiple of 0.001.
std::string thousandths(double distance) {
  std::ostringstream out;
  out << std::ceil(distance * 1000) / 1000;
  return out.str();
}

const std::string kCompiler = "nvcc " LAMELLA_NVCC_VERSION " for compute capability " LAMELLA_PTX_ARCHITECTURE;

std::string compiled_part(const std::vector<Row>& rows) {
  std::ostringstream out;
  out << kCompiledPart
      << "\n<!-- Printed by `LAMELLA_WRITE_DOCS=1 build/release/bin/ptx_accuracy_test`; do not edit. -->\n\n"
         "The same distances for the GPU's kernels. No GPU computed them: the PTX that "
      << kCompiler
      << " makes of the kernels was\n"
         "executed on the host ([GPUs](gpu.md)), over every "
      << kStride
      << "rd float32. The columns *16 bits* are distances in the last place of float16 or\n"
         "bfloat16, whichever is larger, over all 65,536 inputs of each.\n\n"
         "PTX leaves one thing open: how far the results of its `.approx` instructions are from the exact value. The columns "
         "differ in "
         "what\n"
         "the emulator assumes of that:\n\n"
         "- *exact*: they give the exact value, rounded.\n"
         "- *assumed*: they are off by "
      << kAssumed
      << " of what the manual of the PTX ISA (version 9.1) allows, up or down by a hash of the argument.\n"
         "  For `ex2.approx`, which CUDA's `expf` and `tanhf` use, that is 0.9 units in the last place. The bounds were chosen "
         "with this\n"
         "  assumption, and hold with it. The manual does not promise that a GPU is as close; `scripts/gpu-harvest` measures it "
         "on one.\n"
         "- *allowed*: they are off by all that the manual allows, 2 units from the rounded value for `ex2.approx` and 1 for "
         "`rcp.approx`.\n"
         "  For the activations in **bold** the bound does not follow from the manual. CUDA's programming guide lists errors of "
         "its "
         "functions,\n"
         "  too, but as tested, not as guaranteed.\n\n"
         "Results of 16 bits use `.approx` instructions as they are (`src/core/approximate.hpp`), because rounding removes the "
         "last bits "
         "of\n"
         "float32. *Before rounding* is how far the float32 that is rounded to 16 bits is from the exact value, in units in the "
         "last place "
         "of\n"
         "that type: the larger of the two types, over all 65,536 inputs of either and every 65521st float32, with all the error "
         "that is\n"
         "allowed. It is at most "
      << kMostBeforeRounding
      << ", so a result is within 0.55 units of the exact value.\n\n"
         "| activation | bound | exact | assumed | allowed | 16 bits, exact | 16 bits, allowed | before rounding "
         "|\n|---|---|---|---|---|---|---|---|\n";
  for (const Row& row : rows) {
    const std::string allowed = cell(row.single[2]);
    const bool above = row.single[2].ulps > ulp_bound(row.kind);
    out << "| `" << to_string(row.kind) << "` | " << ulp_bound(row.kind) << cell(row.single[0]) << cell(row.single[1])
        << (above ? " | **" + allowed.substr(3) + "**" : allowed) << " | " << row.narrow[0] << " | " << row.narrow[1] << " | "
        << thousandths(row.before_rounding) << " |\n";
  }
  return out.str();
}

TEST(CompiledAccuracyTest, BoundsHoldWithTheErrorThatTheyAssumeAndThePageSaysWhatIsMeasured) {
  const std::vector<Row> rows = measure();
  for (const Row& row : rows) {
    for (const std::size_t mode : {0, 1}) {
      EXPECT_LE(row.single[mode].ulps, ulp_bound(row.kind))
          << to_string(row.kind) << " of " << row.single[mode].x << " in float32, mode " << mode;
    }
    EXPECT_LE(std::max(row.narrow[0], row.narrow[1]), 1) << to_string(row.kind) << " in 16 bits";
    EXPECT_LE(row.before_rounding, kMostBeforeRounding) << to_string(row.kind) << " before it is rounded to 16 bits";
  }
  const std::string committed = committed_page("accuracy.md");
  if (std::getenv("LAMELLA_WRITE_DOCS") == nullptr && committed.find(kCompiler) == std::string::npos)
    GTEST_SKIP() << "the page was printed with another compiler than " << kCompiler;
  expect_page("accuracy.md", committed.substr(0, committed.find(kCompiledPart)) + compiled_part(rows), "ptx_accuracy_test");
}

}  // namespace
}  // namespace lamella::test
