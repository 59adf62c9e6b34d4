// SPDX-License-Identifier: Apache-2.0
#include <algorithm>
#include <array>
#include <cmath>

#include "core/keras_version.hpp"
#include "keras/reading.hpp"

namespace lamella::keras {
namespace {

/// Keys that any layer may have and that do not affect inference.
constexpr std::array<std::string_view, 10> kWithoutEffect{
    "name",        "trainable", "dtype",    "batch_input_shape",    "batch_shape",
    "input_shape", "input_dim", "autocast", "activity_regularizer", "build_config"};

std::string shown(const Json& value) { return core::escaped(value.dump(-1, ' ', true, Json::error_handler_t::replace), 64); }

/// Nested lists of numbers; nesting is bounded by the rank of a shape.
class NestedLists {
 public:
  NestedLists(const Json& value, const Fields& fields, const char* key) : fields_(fields), key_(key) {
    for (const Json* inner = &value; inner->is_array(); inner = &inner->front()) {
      if (shape_.size() == Shape::kMaxRank) fields_.fail_field(ErrorCode::shape, key_, "has more than {} axes", Shape::kMaxRank);
      shape_.push_back(static_cast<std::int64_t>(inner->size()));
      if (inner->empty()) break;
    }
    take(value, 0);
  }
  [[nodiscard]] Tensor tensor() const { return Tensor::of<double>(numbers_, Shape(shape_)); }

 private:
  void take(const Json& value, std::size_t depth) {
    if (depth < shape_.size()) {
      if (!value.is_array() || static_cast<std::int64_t>(value.size()) != shape_[depth]) {
        fields_.fail_field(ErrorCode::shape, key_,
                           "has lists of different lengths: got {}, allowed {} entries in each list of axis {}", shown(value),
                           shape_[depth], depth);
      }
      for (const Json& inner : value) take(inner, depth + 1);
    } else if (value.is_number()) {
      numbers_.push_back(value.get<double>());
    } else {
      fields_.fail_field(ErrorCode::value, key_, "got {}, allowed a number or a list of numbers", shown(value));
    }
  }

  const Fields& fields_;
  const char* key_;
  std::vector<std::int64_t> shape_;
  std::vector<double> numbers_;
};

}  // namespace

bool older_than(const Reading& reading, int major, int minor) { return core::older_than(reading.keras_version, major, minor); }

Fields::Fields(const Json& config, const Reading& reading, std::string layer)
    : config_(config), reading_(reading), layer_(std::move(layer)) {}

const Json& Fields::at(const char* key) const {
  const auto it = config_.find(key);
  if (it == config_.end()) fail_field(ErrorCode::missing, key, "is missing");
  return *it;
}

std::int64_t Fields::integer(const char* key, std::int64_t low, std::int64_t high) const {
  const Json& value = at(key);
  const auto fail = [&](ErrorCode code, const auto& found) { fail_field(code, key, "got {}, allowed {}..{}", found, low, high); };
  if (value.is_number_unsigned() && value.get<std::uint64_t>() > static_cast<std::uint64_t>(INT64_MAX)) {
    fail(ErrorCode::overflow, value.get<std::uint64_t>());
  }
  if (!value.is_number_integer()) fail(ErrorCode::value, shown(value));
  const auto number = value.get<std::int64_t>();
  if (number < low || number > high) fail(ErrorCode::value, number);
  return number;
}

double Fields::number(const char* key, double fallback) const {
  if (!has(key)) return fallback;
  const Json& value = at(key);
  // Keras 2 wrote numpy scalars as arrays of one element.
  if (value.is_object()) {
    const Tensor numbers = array(key);
    if (numbers.shape().elements() == 1) return numbers.span<double>()[0];
  }
  if (!value.is_number()) fail_field(ErrorCode::value, key, "got {}, allowed a number", shown(value));
  return value.get<double>();
}

bool Fields::boolean(const char* key, bool fallback) const {
  if (!has(key)) return fallback;
  if (!at(key).is_boolean()) fail_field(ErrorCode::value, key, "got {}, allowed true, false", shown(at(key)));
  return at(key).get<bool>();
}

std::string Fields::string(const char* key, const std::string& fallback) const {
  if (!has(key)) return fallback;
  if (!at(key).is_string()) fail_field(ErrorCode::value, key, "got {}, allowed a string", shown(at(key)));
  return at(key).get<std::string>();
}

std::vector<int> Fields::axes(const char* key, std::vector<int> fallback) const {
  if (!has(key)) return fallback;
  const Json* value = &at(key);
  if (value->is_object() && value->value("class_name", std::string()) == "__tuple__" && value->contains("items"))
    value = &value->at("items");
  std::vector<int> result;
  const auto take = [&](const Json& axis) {
    // Keras accepts 1.0 for 1, too.
    const double number = axis.is_number() ? axis.get<double>() : 0.5;
    if (!(std::abs(number) <= 2147483647) || number != std::trunc(number))
      fail_field(ErrorCode::value, key, "got {}, allowed an integer or a list of integers", shown(axis));
    result.push_back(static_cast<int>(number));
  };
  if (!value->is_array()) {
    take(*value);
  } else {
    std::for_each(value->begin(), value->end(), take);
  }
  return result;
}

Tensor Fields::array(const char* key) const {
  const Json* value = &at(key);
  if (value->is_object() && value->contains("config")) value = &value->at("config");
  if (value->is_object() && value->contains("value")) value = &value->at("value");
  return NestedLists(*value, *this, key).tensor();
}

void Fields::expect_only(std::span<const std::string_view> read, std::span<const std::string_view> without_effect) const {
  for (const auto& item : config_.items()) {
    const std::string& key = item.key();
    const auto has_key = [&](std::span<const std::string_view> keys) {
      return std::find(keys.begin(), keys.end(), key) != keys.end();
    };
    if (has_key(kWithoutEffect) || has_key(read) || has_key(without_effect)) continue;
    fail_field(ErrorCode::unsupported, key, "is not known to this version of lamella");
  }
}

namespace {

/// The policy of a name without quantization.
core::Policy plain_policy(const std::string& name, const Json* dtype, const Fields& fields) {
  if (name == "mixed_float16") return {DType::float16, DType::float32};
  if (name == "mixed_bfloat16") return {DType::bfloat16, DType::float32};
#define LAMELLA_DTYPE(enumerator, text, type) \
  if (name == (text)) return {DType::enumerator, DType::enumerator};
#include <lamella/dtype.def>
  fields.fail_field(ErrorCode::dtype, "dtype",
                    "got {}, allowed float32, float16, bfloat16, float64, mixed_float16, mixed_bfloat16",
                    name.empty() ? shown(*dtype) : "'" + core::escaped(name) + "'");
}

}  // namespace

core::Policy read_policy(const Json* dtype, const Fields& fields) {
  if (dtype == nullptr || dtype->is_null()) return {};
  std::string name;
  std::string quantization;
  if (dtype->is_string()) {
    name = dtype->get<std::string>();
    if (const std::size_t at = name.find("_from_"); at != std::string::npos) {
      quantization = name.substr(0, at);
      name = name.substr(at + 6);
    }
  } else if (dtype->is_object() && dtype->contains("config") && dtype->at("config").is_object()) {
    const Json& config = dtype->at("config");
    if (config.contains("policy_map")) {
      fields.fail_field(ErrorCode::unsupported, "dtype", "is the policy {} {}, which is not supported",
                        core::escaped(dtype->value("class_name", std::string())), shown(config));
    }
    quantization = config.value("mode", std::string());
    name = config.value(quantization.empty() ? "name" : "source_name", std::string());
  }
  core::Policy policy = plain_policy(name, dtype, fields);
  if (!quantization.empty() && !is_floating(policy.compute))
    fields.fail_field(ErrorCode::dtype, "dtype", "is quantized from {}, allowed floating types", name);
  policy.quantization = std::move(quantization);
  return policy;
}

std::vector<core::Extent> read_shape(const Json& shape, const Fields& fields, const char* key) {
  const Json* list = &shape;
  if (shape.is_object() && shape.value("class_name", std::string()) == "__tuple__" && shape.contains("items"))
    list = &shape.at("items");
  if (!list->is_array()) fields.fail_field(ErrorCode::shape, key, "got {}, allowed a list of extents", shown(shape));
  if (list->size() > Shape::kMaxRank)
    fields.fail_field(ErrorCode::shape, key, "has {} extents, allowed 0..{}", list->size(), Shape::kMaxRank);
  std::vector<core::Extent> result;
  std::int64_t product = 1;
  for (const Json& extent : *list) {
    if (extent.is_null()) {
      result.emplace_back();
      continue;
    }
    const bool fits =
        extent.is_number_integer() && !(extent.is_number_unsigned() && extent.get<std::uint64_t>() > 0x7FFF'FFFF'FFFFU);
    if (!fits || extent.get<std::int64_t>() < 0) {
      fields.fail_field(ErrorCode::shape, key, "got the extent {}, allowed null or 0..2^47", shown(extent));
    }
    result.emplace_back(extent.get<std::int64_t>());
    const auto next = core::checked_mul(product, std::max<std::int64_t>(1, *result.back()));
    if (!next) fields.fail_field(ErrorCode::overflow, key, "has more elements than fit into 64 bits");
    product = *next;
  }
  return result;
}

}  // namespace lamella::keras
