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

constexpr std::string_view kIntroduction =
    R"(lamella takes every activation by the name that Keras has for it; what parameters mean is in Keras' documentation.
[Accuracy](accuracy.md) has the largest error of each. A name that is not on this page is refused when the file is loaded.

)";

constexpr std::string_view kFunctions = R"(
`clip(x, a, b)` is min(max(x, a), b), and `where(c, a, b)` is a where c holds and b elsewhere. The other functions are the mathematical
ones, written so that no digits are lost (`src/core/math.hpp`):

| in a formula | its value |
|---|---|
| `expm1(x)` | exp(x) - 1 |
| `sigmoid_times(x, 0, f)` | f / (1 + exp(-x)) |
| `softplus(x)` | log(1 + exp(x)) |
| `gelu_erf(x)` | x (1 + erf(x / sqrt 2)) / 2 |
| `gelu_tanh(x)` | x (1 + tanh(sqrt(2 / pi) (x + 0.044715 x^3))) / 2 |
| `mish(x)` | x tanh(softplus(x)) |
| `tanh_shrink(x)` | x - tanh(x) |
| `squareplus(x, b)` | (x + sqrt(x^2 + b)) / 2 |
| `relu_general` | x where x > threshold, else negative_slope (x - threshold); at most max_value |

NaN and infinities give what Keras gives on JAX:

- NaN stays NaN, except where x is only compared with a constant (`hard_shrink`, `soft_shrink`, `threshold`, and relu with a threshold but
  no slope): there NaN fails the comparison.
- At -inf, x * sigmoid(x) and similar products are NaN, and so is `squareplus`. `softsign` is NaN at both infinities.

There is one deliberate difference from Keras: where its float arithmetic overflows, underflows or cancels although x is finite, as in
silu(-89), gelu(-9), tanh_shrink(1e-4) and squareplus(-1e20), lamella gives the right value.
)";

constexpr std::string_view kVersions = R"(
## Differences between versions of Keras

- `hard_sigmoid` is clip(x / 6 + 1/2, 0, 1) in Keras 3 and clip(0.2 x + 1/2, 0, 1) in Keras 2. A model uses the formula of the version
  that wrote it; `Options::hard_sigmoid` overrides that.
- `gelu` by name is the exact form. `keras.activations.gelu(x, approximate=True)` is called `gelu_tanh` here; in C++ it is
  `ActivationSpec::gelu(true)`.
- `leaky_relu` by name has slope 0.2. The layer LeakyReLU has 0.3, also where a Keras 2 file names the layer as an activation.
- Keras 2 writes `swish` for what Keras 3 writes as `silu`.
- `threshold` has no default parameters, so neither Keras nor lamella can compute it from its bare name.
- Names are case-sensitive. The column *also taken* has Keras' aliases, and spellings found in older files.
)";

std::string activations_page() {
  std::ostringstream out;
  out << "# Activations\n\n" << kGenerated << kIntroduction;
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
  out << "\n## The vendors' equivalents\n\n"
         "What may be left to a vendor's library. An activation is listed only where the library's formula is Keras' own; "
         "elsewhere an\n"
         "engine that relies on it refuses the layer, and another engine runs. cuDNN and cuBLASLt are listed by their "
         "documentation.\n"
         "oneDNN 2.6 was measured, and these are left out:\n\n"
         "- relu (slope 0), clip and exp, because they lose NaN;\n"
         "- logistic, swish, elu, gelu, soft_relu and mish, because they lose small results.\n\n"
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

Adding n products one by one in float32 errs by at most n u S, where u is 2^-24 and S = sum |x||w|. The more the products cancel, the
larger that is relative to the result. `Math::exact`, the default, computes such sums; their order depends on the engine.

`Math::bf16x6` lets the engine `mma_gemm_float32` use a GPU's tensor cores. It splits each number into three bfloat16, which is exact,
and adds the six largest of the nine products of two numbers' parts. NVIDIA does not document how tensor cores add. The bound below
assumes the worst that has been observed from compute capability 8.0 on: eight products are added at a time, and each of them, and their
sum, is cut to the last bit of a float32 as large as the largest of them. Then the error is at most (42 + n/8) u S:

| part of the bound | where it comes from |
|---|---|
| 38 u S | the cut sums of the largest products, which start from zero every 16 inputs |
| n/8 u S | adding these sums to the total in float32 |
| 1.6 u S | the cut sums of the five other products, which are small |
| 1 u S | the three products that are left out |

The engine takes layers of 64 or more inputs, where that bound is at most 0.8 n u S. If all six products shared one sum, the error would
be several times that of float32. `Math::bf16x6` is not the default for two reasons: it rests on undocumented behaviour, and numbers that
cancel next to each other are cut, although adding them one by one would be exact.

A sum that is not finite is computed again by multiply-adds over the inputs in order, so infinities and NaN are those of float32. That
takes long, and finite numbers can cause it too: a row with a number of 2^61 or more, a unit with a weight of 2^13 or more, or a sum of
2^80 or more. The limits are so low because numbers are multiplied by 2^24 before they are split, which keeps every part of the smallest
float32 in bfloat16's range, and because no sum may leave float32's range: what tensor cores do there is not documented either.

`MmaGemmFloat32Test.ErrsByNoMoreThanIsPromised` holds this bound in both ways of adding (`ptx.ApproximateKernels` has the cut sums). For
numbers of all magnitudes in random order it also holds the error to 1.5 times the largest error of multiply-adds.
)";

std::string accuracy_page() {
  std::ostringstream out;
  out << "# Accuracy of activations\n\n"
      << kGenerated
      << "How far lamella's activations and products are from the exact values. To compare a model of yours with Keras, use\n"
         "[`lamella verify`](get-started.md).\n\n"
         "Distances count units in the last place of float32: how many floats lie between the result and the exact value rounded "
         "to\n"
         "float32. 0 means correctly rounded.\n\n"
         "- *bound*: what the tests allow on every device.\n"
         "- *measured*: the largest distance on the CPU over every "
      << kStride
      << "th float32, all exponents and both signs, with default parameters and\n"
         "  with one other set. Over every 31st float32 the largest was 5 (gelu).\n"
         "- *at*: the x where that was.\n\n"
         "In float16 and bfloat16, results are computed in float32 and rounded once: over all 65,536 inputs of either type, "
         "every result "
         "is\n"
         "the exact value's rounding or its neighbour.\n\n"
         "| activation | bound | measured | at |\n|---|---|---|---|\n";
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
