// SPDX-License-Identifier: Apache-2.0
#include <lamella/activation.hpp>

#include <algorithm>
#include <initializer_list>
#include <limits>
#include <string>
#include <vector>

#include <lamella/shape.hpp>

#include "core/check.hpp"

namespace lamella {
namespace {

constexpr double kNoMaximum = std::numeric_limits<double>::infinity();

/// One kind's row of the table, without the formula.
struct ActivationRow {
  constexpr ActivationRow(std::string_view row_name, bool is_internal, bool works_on_rows, int bound,
                          std::initializer_list<ActivationParameter> list)
      : name(row_name), internal(is_internal), rowwise(works_on_rows), ulp(bound), count(list.size()) {
    std::copy(list.begin(), list.end(), parameters.begin());
  }
  std::string_view name;
  bool internal;
  bool rowwise;
  int ulp;
  std::size_t count;
  std::array<ActivationParameter, 3> parameters{};
};

/// In the order of ActivationKind: both are expanded from the same lines.
constexpr ActivationRow kActivations[] = {
#define LAMELLA_PARAMETERS(...) (std::initializer_list<ActivationParameter>{__VA_ARGS__})
#define LAMELLA_ELEMENTWISE(Name, name, parameters, formula, onednn, cudnn, cublaslt, ulp) \
  ActivationRow(name, false, false, ulp, parameters),
#define LAMELLA_INTERNAL(Name, name, parameters, formula, onednn, cudnn, cublaslt, ulp) \
  ActivationRow(name, true, false, ulp, parameters),
#define LAMELLA_ROWWISE(Name, name, parameters) ActivationRow(name, false, true, 0, parameters),
#include <lamella/activation.def>
};

constexpr ActivationRow kNone("no activation", true, false, 0, {});

constexpr const ActivationRow& row_of(ActivationKind kind) noexcept {
  const auto row = static_cast<std::size_t>(kind);
  return row < std::size(kActivations) ? kActivations[row] : kNone;
}

/// A name without its own row; `parameters` replace the defaults of `kind`.
struct OtherName {
  std::string_view name;
  ActivationKind kind;
  bool listed;
  std::array<double, 3> parameters;
  std::size_t count;
};

constexpr OtherName other_name(std::string_view name, ActivationKind kind, bool listed,
                               std::initializer_list<double> parameters) {
  OtherName result{name, kind, listed, {}, parameters.size()};
  std::copy(parameters.begin(), parameters.end(), result.parameters.begin());
  return result;
}

constexpr OtherName kOtherNames[] = {
#define LAMELLA_ALIAS(name, Kind) other_name(name, ActivationKind::Kind, true, {}),
#define LAMELLA_SPELLING(name, Kind, ...) other_name(name, ActivationKind::Kind, false, {__VA_ARGS__}),
#include <lamella/activation.def>
};

std::vector<std::string_view> sorted_names() {
  std::vector<std::string_view> names;
  for (const ActivationRow& row : kActivations) {
    if (!row.internal) names.push_back(row.name);
  }
  for (const OtherName& other : kOtherNames) {
    if (other.listed) names.push_back(other.name);
  }
  std::sort(names.begin(), names.end());
  return names;
}

void set_parameter(ActivationSpec& spec, std::string_view asked, const ActivationValue& given, std::uint32_t& set) {
  const auto& [name, number] = given;
  if (is_rowwise(spec.kind) && name == "axis") {
    LAMELLA_EXPECTS(number >= -Shape::kMaxRank && number < Shape::kMaxRank && number == static_cast<int>(number), value,
                    "activation '{}' axis: got {:g}, allowed {}..{}", core::escaped(asked), number, -Shape::kMaxRank,
                    Shape::kMaxRank - 1);
    spec.axis = static_cast<int>(number);
    return;
  }
  const int index = parameter_index(spec.kind, name);
  std::string known = is_rowwise(spec.kind) ? "axis" : "";
  for (const ActivationParameter& parameter : parameters_of(spec.kind))
    known += (known.empty() ? "" : ", ") + std::string(parameter.name);
  LAMELLA_EXPECTS(index >= 0, value, "activation '{}' has no parameter '{}'; known: {}", core::escaped(asked),
                  core::escaped(name), known.empty() ? "none" : known);
  spec.parameters[static_cast<std::size_t>(index)] = number;
  set |= 1U << static_cast<unsigned>(index);
}

/// A kind with the given parameters; the others have their defaults, or those of `spelled` if the name implies others.
ActivationSpec with_parameters(ActivationKind kind, std::string_view asked, const std::array<double, 3>* spelled,
                               std::span<const ActivationValue> given) {
  ActivationSpec spec{.kind = kind};
  std::uint32_t set = 0;
  for (std::size_t i = 0; const ActivationParameter& parameter : parameters_of(kind)) {
    spec.parameters[i] = spelled != nullptr ? (*spelled)[i] : parameter.default_value;
    if (spelled != nullptr || !parameter.required) set |= 1U << i;
    ++i;
  }
  for (const ActivationValue& each : given) set_parameter(spec, asked, each, set);
  std::string missing;
  for (std::size_t i = 0; const ActivationParameter& parameter : parameters_of(kind)) {
    if ((set >> i++ & 1U) == 0) missing += (missing.empty() ? "" : ", ") + std::string(parameter.name);
  }
  LAMELLA_EXPECTS(missing.empty(), value, "activation '{}' needs values for {}{}", asked, missing,
                  given.empty() ? "; a name alone does not give them" : "");
  return spec;
}

/// Edit distance, ignoring case.
std::size_t edit_distance(std::string_view a, std::string_view b) {
  const auto lower = [](char c) { return c >= 'A' && c <= 'Z' ? static_cast<char>(c - 'A' + 'a') : c; };
  std::vector<std::size_t> row(b.size() + 1);
  for (std::size_t j = 0; j <= b.size(); ++j) row[j] = j;
  for (std::size_t i = 1; i <= a.size(); ++i) {
    std::size_t diagonal = row[0];
    row[0] = i;
    for (std::size_t j = 1; j <= b.size(); ++j) {
      const std::size_t replaced = diagonal + (lower(a[i - 1]) == lower(b[j - 1]) ? 0 : 1);
      diagonal = row[j];
      row[j] = std::min({row[j] + 1, row[j - 1] + 1, replaced});
    }
  }
  return row[b.size()];
}

[[noreturn]] void throw_unknown(std::string_view asked) {
  std::string near;
  const std::string_view start = asked.substr(0, 32);  // the text may come from a malicious file
  for (const std::string_view known : activation_names()) {
    const bool close = edit_distance(start, known) <= 2 || (start.size() >= 3 && known.find(start) != std::string_view::npos);
    if (close) near += (near.empty() ? "" : ", ") + std::string(known);
  }
  std::string all;
  for (const std::string_view known : activation_names()) all += (all.empty() ? "" : ", ") + std::string(known);
  core::throw_argument(ErrorCode::value, core::format("unknown activation '{}'; {}", core::escaped(asked),
                                                      near.empty() ? "known: " + all : "similar: " + near));
}

}  // namespace

std::span<const std::string_view> activation_names() noexcept {
  static const auto& names = *new std::vector<std::string_view>(sorted_names());
  return names;
}

ActivationSpec activation_of(std::string_view keras_name) {
  return activation_of(keras_name, std::span<const ActivationValue>());
}

ActivationSpec activation_of(std::string_view keras_name, std::span<const ActivationValue> parameters) {
  for (std::size_t i = 0; i < std::size(kActivations); ++i) {
    if (!kActivations[i].internal && kActivations[i].name == keras_name)
      return with_parameters(static_cast<ActivationKind>(i), keras_name, nullptr, parameters);
  }
  for (const OtherName& other : kOtherNames) {
    if (other.name == keras_name)
      return with_parameters(other.kind, keras_name, other.count == 0 ? nullptr : &other.parameters, parameters);
  }
  throw_unknown(keras_name);
}

std::string_view to_string(ActivationKind kind) noexcept { return row_of(kind).name; }

bool is_rowwise(ActivationKind kind) noexcept { return row_of(kind).rowwise; }

std::span<const ActivationParameter> parameters_of(ActivationKind kind) noexcept {
  const ActivationRow& row = row_of(kind);
  return {row.parameters.data(), row.count};
}

int parameter_index(ActivationKind kind, std::string_view parameter) noexcept {
  for (int i = 0; const ActivationParameter& candidate : parameters_of(kind)) {
    if (candidate.name == parameter) return i;
    ++i;
  }
  return -1;
}

int ulp_bound(ActivationKind kind) noexcept { return row_of(kind).ulp; }

ActivationSpec ActivationSpec::relu(double negative_slope, std::optional<double> max_value, double threshold) {
  LAMELLA_EXPECTS(negative_slope >= 0, value, "relu: negative_slope must be >= 0, got {:g}", negative_slope);
  LAMELLA_EXPECTS(!max_value || *max_value >= 0, value, "relu: max_value must be >= 0, got {:g}", *max_value);
  LAMELLA_EXPECTS(threshold >= 0, value, "relu: threshold must be >= 0, got {:g}", threshold);
  const double maximum = max_value.value_or(kNoMaximum);
  if (threshold == 0) {
    if (negative_slope == 0 && maximum == kNoMaximum) return {.kind = ActivationKind::Relu};
    if (negative_slope == 0 && maximum == 6) return {.kind = ActivationKind::Relu6};
    if (maximum == kNoMaximum) return {.kind = ActivationKind::LeakyRelu, .parameters = {negative_slope}};
  }
  return {.kind = ActivationKind::ReluGeneral, .parameters = {negative_slope, maximum, threshold}};
}

}  // namespace lamella
