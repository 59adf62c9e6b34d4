// SPDX-License-Identifier: Apache-2.0
// Layers that turn numbers into other numbers or into vectors.
#include <algorithm>
#include <cmath>
#include <limits>

#include "keras/layers/parsers.hpp"

namespace lamella::keras {
namespace {

constexpr std::int64_t kLeast = std::numeric_limits<std::int64_t>::min();
constexpr std::int64_t kMost = std::numeric_limits<std::int64_t>::max();

core::Encoding encoding_of(const Fields& f, const std::string& otherwise, bool integer) {
  if (f.boolean("sparse", false)) f.fail_field(ErrorCode::unsupported, "sparse", "is true");
  const std::string mode = f.string("output_mode", otherwise);
  if (mode == "int" && integer) return core::Encoding::integer;
  if (mode == "one_hot") return core::Encoding::one_hot;
  if (mode == "multi_hot" || mode == "binary") return core::Encoding::multi_hot;
  if (mode == "count") return core::Encoding::count;
  f.fail_field(mode == "tf_idf" ? ErrorCode::unsupported : ErrorCode::value, "output_mode",
               core::concat("got '", core::escaped(mode), "', allowed ", integer ? "int, " : "", "one_hot, multi_hot, count"));
}

std::optional<std::int64_t> token(const Fields& f, const char* key) {
  return f.has(key) ? std::optional(f.integer(key, kLeast, kMost)) : std::nullopt;
}

/// The vocabulary without the special tokens that may stand before it.
std::vector<std::int64_t> vocabulary_of(const Fields& f, const std::vector<std::optional<std::int64_t>>& special) {
  if (!f.has("vocabulary")) {
    f.fail_field(ErrorCode::unsupported, "vocabulary",
                 "is not in the config, for the layer was adapted: make it anew with vocabulary=layer.get_vocabulary()");
  }
  const Json& list = f.at("vocabulary");
  if (!list.is_array() || list.empty()) f.fail_field(ErrorCode::value, "vocabulary", "is no list of integers");
  std::vector<std::optional<std::int64_t>> all;
  for (const Json& entry : list) {
    const bool fits = entry.is_number_integer() &&
                      !(entry.is_number_unsigned() && entry.get<std::uint64_t>() > static_cast<std::uint64_t>(kMost));
    if (!fits) f.fail_field(ErrorCode::value, "vocabulary", core::concat("has the entry ", all.size(), ", which is no int64"));
    all.emplace_back(entry.get<std::int64_t>());
  }
  const bool found = all.size() >= special.size() && std::equal(special.begin(), special.end(), all.begin());
  std::vector<std::int64_t> tokens;
  for (std::size_t i = found ? special.size() : 0; i < all.size(); ++i) tokens.push_back(*all[i]);
  return tokens;
}

std::shared_ptr<const Tensor> column(const std::vector<std::pair<std::int64_t, std::int64_t>>& table, bool second) {
  std::vector<std::int64_t> numbers;
  for (const auto& [key, value] : table) numbers.push_back(second ? value : key);
  return std::make_shared<const Tensor>(Tensor::of<std::int64_t>(numbers, Shape{static_cast<std::int64_t>(numbers.size())}));
}

}  // namespace

ParsedLayer parse_category_encoding(const Fields& f, const std::string&, Reading& reading) {
  f.expect_only({"num_tokens", "output_mode", "sparse"});
  const core::CategoryEncodingParams params{f.integer("num_tokens", 1, 2147483647), encoding_of(f, "multi_hot", false),
                                            !reading.keras2};
  return {params, {}, {}, {}};
}

ParsedLayer parse_discretization(const Fields& f, const std::string&, Reading& reading) {
  f.expect_only({"bin_boundaries", "num_bins", "epsilon", "output_mode", "sparse"});
  if (!f.has("bin_boundaries")) {
    f.fail_field(ErrorCode::unsupported, "bin_boundaries",
                 "is not in the config, for the layer was adapted: make it anew with bin_boundaries=layer.bin_boundaries");
  }
  Tensor boundaries = f.array("bin_boundaries").to(DType::float32);
  const auto numbers = boundaries.span<float>();
  if (boundaries.shape().rank() != 1 || numbers.empty())
    f.fail_field(ErrorCode::value, "bin_boundaries", "is no list of numbers");
  // A NaN is in no order.
  for (std::size_t i = 0; i < numbers.size(); ++i) {
    if (!(i == 0 ? numbers[i] == numbers[i] : numbers[i - 1] <= numbers[i]))
      f.fail_field(ErrorCode::unsupported, "bin_boundaries", core::concat("does not ascend at entry ", i));
  }
  core::DiscretizationParams params{std::make_shared<const Tensor>(std::move(boundaries)), encoding_of(f, "int", true)};
  params.integer = reading.keras2 ? DType::int64 : DType::int32;
  return {std::move(params), {}, {}, {}};
}

ParsedLayer parse_integer_lookup(const Fields& f, const std::string&, Reading& reading) {
  f.expect_only({"invert", "max_tokens", "num_oov_indices", "oov_token", "mask_token", "output_mode", "sparse",
                 "pad_to_max_tokens", "vocabulary_dtype", "idf_weights", "vocabulary", "vocabulary_size", "oov_method", "salt",
                 "has_input_vocabulary"});
  core::IntegerLookupParams params;
  params.encoding = encoding_of(f, "int", true);
  params.encoded = reading.keras2 ? DType::float32 : DType::int64;
  const bool integer = params.encoding == core::Encoding::integer;
  if (f.string("vocabulary_dtype", "int64") != "int64")
    f.fail_field(ErrorCode::unsupported, "vocabulary_dtype",
                 core::concat("got ", f.string("vocabulary_dtype", ""), ", allowed int64"));
  if (f.string("oov_method", "floormod") != "floormod" || f.has("salt"))
    f.fail_field(ErrorCode::unsupported, "oov_method, salt", "ask for a hash of strings, allowed floormod without salt");
  const std::int64_t unknown = f.has("num_oov_indices") ? f.integer("num_oov_indices", 0, 2147483647) : 1;
  const std::optional<std::int64_t> mask = token(f, "mask_token");
  const std::int64_t first_unknown = mask && integer ? 1 : 0;
  std::vector<std::optional<std::int64_t>> special(static_cast<std::size_t>(first_unknown), mask);
  const std::optional<std::int64_t> unknown_token = token(f, "oov_token");
  special.insert(special.end(), static_cast<std::size_t>(std::min<std::int64_t>(unknown, 1 << 20)), unknown_token);
  const bool invert = f.boolean("invert", false);
  std::vector<std::pair<std::int64_t, std::int64_t>> table;
  std::int64_t next = first_unknown + unknown;
  for (const std::int64_t entry : vocabulary_of(f, special)) {
    table.emplace_back(entry, next++);
    if (invert) std::swap(table.back().first, table.back().second);
  }
  params.depth = f.boolean("pad_to_max_tokens", false) ? f.integer("max_tokens", next, kMost) : next;
  if (invert) {
    if (mask) table.emplace_back(0, *mask);
    if (!unknown_token) f.fail_field(ErrorCode::missing, "oov_token", "is not there, and invert needs it");
    params.otherwise = *unknown_token;
  } else {
    // What is masked counts for nothing in an encoding. Keras fails where nothing stands for an unknown number: here it becomes
    // one that no table has.
    if (mask) table.emplace_back(*mask, integer ? 0 : kMost);
    params.otherwise = unknown == 0 ? kLeast : first_unknown;
    params.hashes = unknown > 1 ? unknown : 0;
  }
  std::sort(table.begin(), table.end());
  for (std::size_t i = 1; i < table.size(); ++i) {
    if (table[i - 1].first == table[i].first)
      f.fail_field(ErrorCode::value, "vocabulary", core::concat("has ", table[i].first, " twice, or it is the mask_token"));
  }
  params.keys = column(table, false);
  params.values = column(table, true);
  return {std::move(params), {}, {}, {}};
}

ParsedLayer parse_embedding(const Fields& f, const std::string&, Reading&) {
  f.expect_only({"input_dim", "output_dim", "mask_zero", "input_length", "sparse", "weights"});
  if (f.has("quantization_config"))
    f.fail_field(ErrorCode::unsupported, "quantization_config", "is set; quantized layers are not supported");
  const core::EmbeddingParams params{f.integer("input_dim", 1, 2147483647), f.integer("output_dim", 1, 2147483647),
                                     f.boolean("mask_zero", false)};
  return {params, {{"embeddings", true}}, {}, {}};
}

}  // namespace lamella::keras
