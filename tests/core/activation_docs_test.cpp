// SPDX-License-Identifier: Apache-2.0
#include <gmock/gmock.h>

#include <algorithm>
#include <iomanip>
#include <map>
#include <set>
#include <sstream>
#include <string>

#include "core/activation_measure.hpp"
#include "core/check.hpp"
#include "core/docs_page.hpp"

/// docs/activations.md and docs/accuracy.md are generated from the table. This test compares them with it, and writes them when
/// run with LAMELLA_WRITE_DOCS=1.
namespace lamella::test {
namespace {

constexpr std::uint32_t kStride = 2039;
constexpr double kNoMaximum = std::numeric_limits<double>::infinity();

struct Row {
  ActivationKind kind;
  bool internal;
  std::string parameters, formula, onednn, cudnn, cublaslt;
};

struct Parameter {
  std::string_view name;
  double default_value = 0;
  bool required = false;
};

std::string text(std::initializer_list<Parameter> parameters) {
  std::ostringstream out;
  for (int i = 0; const Parameter& parameter : parameters) {
    out << (i == 0 ? "" : ", ") << "p" << i << " = `" << parameter.name << "` (";
    if (parameter.required)
      out << "no default";
    else if (parameter.default_value == kNoMaximum)
      out << "none";
    else
      out << parameter.default_value;
    out << ")";
    ++i;
  }
  return out.str();
}

/// Turns C++ such as "T(6)" into plain formulas.
std::string readable(std::string formula) {
  for (std::size_t at = formula.find("T("); at != std::string::npos; at = formula.find("T(", at)) {
    const std::size_t close = formula.find(')', at);
    formula = formula.substr(0, at) + formula.substr(at + 2, close - at - 2) + formula.substr(close + 1);
  }
  return formula;
}

std::string vendor(std::string column) { return column.find("NONE") == std::string::npos ? core::format("`{}`", column) : ""; }

std::vector<Row> rows() {
  return {
#define LAMELLA_PARAMETERS(...) (std::initializer_list<Parameter>{__VA_ARGS__})
#define LAMELLA_ELEMENTWISE(Name, name, parameters, formula, onednn, cudnn, cublaslt, ulp) \
  {ActivationKind::Name, false, text(parameters), readable(#formula), vendor(#onednn), vendor(#cudnn), vendor(#cublaslt)},
#define LAMELLA_INTERNAL(Name, name, parameters, formula, onednn, cudnn, cublaslt, ulp) \
  {ActivationKind::Name, true, text(parameters), readable(#formula), vendor(#onednn), vendor(#cudnn), vendor(#cublaslt)},
#define LAMELLA_ROWWISE(Name, name, parameters) {ActivationKind::Name, false, text(parameters), "", "", "", ""},
#include <lamella/activation.def>
  };
}

std::string other_names(ActivationKind kind) {
  std::string result;
  const auto add = [&](ActivationKind of, std::string_view other) {
    if (of == kind) result += (result.empty() ? "" : ", ") + (core::format("`{}`", other));
  };
#define LAMELLA_ALIAS(name, Kind) add(ActivationKind::Kind, name);
#define LAMELLA_SPELLING(name, Kind, ...) add(ActivationKind::Kind, name);
#include <lamella/activation.def>
  return result;
}

constexpr std::string_view kGenerated =
    "<!-- Printed from include/lamella/activation.def by `LAMELLA_WRITE_DOCS=1 build/release/bin/activation_docs_test`; do not "
    "edit. -->\n\n";

constexpr std::string_view kFunctions = R"(
`clip(x, a, b)` is min(max(x, a), b), and `where(c, a, b)` is a where c holds and b elsewhere. The others are what the name says in
mathematics, written so that no digits are lost (`src/core/math.hpp`): `expm1(x)` = exp(x) - 1,
`softplus(x)` = log(1 + exp(x)), `sigmoid_times(x, 0, f)` = f / (1 + exp(-x)),
`gelu_erf(x)` = x (1 + erf(x / sqrt 2)) / 2, `gelu_tanh(x)` = x (1 + tanh(sqrt(2 / pi) (x + 0.044715 x^3))) / 2,
`mish(x)` = x tanh(softplus(x)), `tanh_shrink(x)` = x - tanh(x), `squareplus(x, b)` = (x + sqrt(x^2 + b)) / 2,
`relu_general` = x where x > threshold, else negative_slope (x - threshold), and never more than max_value.

NaN and the infinities give what Keras gives on JAX: NaN stays NaN, but where a comparison decides between x and a constant
(`hard_shrink`, `soft_shrink`, `threshold`, relu with a threshold and without a slope) it fails the comparison; x * sigmoid(x)
and similar functions are NaN at -inf, and so are `softsign` at both infinities and `squareplus` at -inf. Where a finite x makes Keras' own
float arithmetic overflow, vanish or cancel (silu(-89), gelu(-9), tanh_shrink(1e-4), squareplus(-1e20)), lamella gives the right value.
)";

constexpr std::string_view kVersions = R"(
## Differences between versions of Keras

- `hard_sigmoid` is clip(x / 6 + 1/2, 0, 1) in Keras 3 and clip(0.2 x + 1/2, 0, 1) in Keras 2; a model keeps the one of the version
  that wrote it.
- `gelu` is the exact form by name; `keras.activations.gelu(x, approximate=True)` is `gelu_tanh` here, `ActivationSpec::gelu(true)`.
- `leaky_relu` by name has slope 0.2; the layer LeakyReLU has 0.3, also where Keras 2 files name the layer as an activation.
- Keras 2 writes `swish` for what Keras 3 writes as `silu`.
- `threshold` has no default parameters, so its bare name cannot be computed, in Keras as here.
- Names are case-sensitive. The last column lists what else is taken: Keras' aliases, and spellings found in older files.
)";

std::string activations_page() {
  std::ostringstream out;
  out << "# Activations\n\n" << kGenerated;
  out << "## Element by element\n\n| name | formula | parameters (default) | also taken |\n|---|---|---|---|\n";
  for (const Row& row : rows()) {
    if (is_rowwise(row.kind)) continue;
    out << "| `" << to_string(row.kind) << "`" << (row.internal ? " (not a Keras name)" : "") << " | `" << row.formula << "` | "
        << row.parameters << " | " << other_names(row.kind) << " |\n";
  }
  out << kFunctions << "\n## Row by row\n\nAlong an axis, the last by default.\n\n| name | also taken |\n|---|---|\n";
  for (const Row& row : rows()) {
    if (is_rowwise(row.kind)) out << "| `" << to_string(row.kind) << "` | " << other_names(row.kind) << " |\n";
  }
  out << "\n## The vendors' equivalents\n\nOnly where the formula is Keras' own; an engine refuses where there is none. oneDNN "
         "2.6 was measured: it"
         "\nloses NaN in relu (slope 0), clip and exp, and small results in logistic, swish, elu, gelu, soft_relu and mish, so "
         "these are not"
         "\nlisted. cuDNN and cuBLASLt are listed by their documentation.\n\n"
         "| name | oneDNN (algorithm, alpha, beta) | cuDNN (mode, coefficient) | cuBLASLt epilogue |\n|---|---|---|---|\n";
  for (const Row& row : rows()) {
    if ((row.onednn + row.cudnn + row.cublaslt).empty()) continue;
    out << "| `" << to_string(row.kind) << "` | " << row.onednn << " | " << row.cudnn << " | " << row.cublaslt << " |\n";
  }
  out << kVersions;
  return out.str();
}

constexpr std::string_view kProducts = R"(
## Products of float32

Adding n products one by one in float32 errs by at most n u S, where u is 2^-24 and S = sum |x||w|: the more the products cancel,
the more of the result that is. `Math::exact` computes such sums, in an order that depends on the engine.

`Math::bf16x6` lets the engine `mma_gemm_float32` split each number into three bfloat16, which is exact, and add the six largest of
the nine products of two numbers' parts on tensor cores. How these add is not documented. Taken as the most pessimistic that has
been observed from compute capability 8.0 on, eight products at a time, each of them and their sum cut to the last bit of a float32
as large as the largest of them, the error is at most (42 + n/8) u S: 38 u S from the cut sums of the highest products, which begin
at zero every 16 inputs and are added in float32 (n/8), 1.6 u S from those of the others, which are small, and u S from the three
products that are left out. The engine takes layers from 64 inputs on, where that is at most 0.8 n u S. It is not the default,
because it rests on what is not documented, and because numbers that cancel next to each other, which adding one by one does
exactly, are cut. Without separate sums the error would be several times that of float32.

Where a sum is not finite, it is computed again by multiply-adds over the inputs in order, so infinities and NaN are float32's. That
takes long, and happens for finite numbers too: for rows with a number of 2^61 or more, for units with a weight of 2^13 or more, and
for sums from 2^80 on. Numbers are multiplied by 2^24 before they are split, so that no part of any float32, however small, is beyond
bfloat16's range, and what tensor cores do with sums beyond float32's range is not documented either, so none may get there.
`MmaGemmFloat32Test.ErrsByNoMoreThanIsPromised` holds this bound, and 1.5 times the largest error of multiply-adds for numbers
without such an order, of all magnitudes, in both ways of adding (`ptx.ApproximateKernels` has the cut sums).
)";

std::string accuracy_page() {
  std::ostringstream out;
  out << "# Accuracy of activations\n\n"
      << kGenerated
      << "Distance from the exact value, in units in the last place of float32: how many floats lie between the result and the "
         "exact value\n"
         "rounded to float32 (0: correctly rounded). *Bound* is what the tests allow on every device. *Measured* is the largest\n"
         "distance on the CPU over every "
      << kStride
      << "th float32, all exponents and both signs; *at* is where it was. Parameters have their\n"
         "defaults, and another set. In float16 and bfloat16 results are computed in float32 and rounded once: over all 65,536 "
         "inputs of\n"
         "either type every result is the exact value's rounding or its neighbour. Over every 31st float32 the largest distance "
         "was 5 (gelu).\n\n| activation | bound | measured | at |\n|---|---|---|---|\n";
  for (const ActivationKind kind : elementwise_kinds()) {
    const Worst worst = worst_distance(kind, kStride);
    out << "| `" << to_string(kind) << "` | " << ulp_bound(kind) << " | " << worst.ulps << " | ";
    if (worst.ulps > 0) out << std::setprecision(6) << worst.x;
    out << " |\n";
  }
  out << kProducts;
  return out.str();
}

constexpr const char* kProgram = "activation_docs_test";

TEST(ActivationDocsTest, ActivationsPageIsWhatTheTableSays) { expect_page("activations.md", activations_page(), kProgram); }
TEST(ActivationDocsTest, AccuracyPageIsWhatIsMeasured) {
  const std::string committed = committed_page("accuracy.md");
  const std::size_t compiled = std::min(committed.find(kCompiledPart), committed.size());
  expect_page("accuracy.md", accuracy_page() + committed.substr(compiled), kProgram);
}

}  // namespace
}  // namespace lamella::test
