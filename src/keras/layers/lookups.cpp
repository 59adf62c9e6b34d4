// SPDX-License-Identifier: Apache-2.0
// Layers that map numbers to other numbers or to vectors.
#include <algorithm>
#include <cmath>
#include <limits>

#include "core/number.hpp"
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
               "got '{}', allowed {}one_hot, multi_hot, count", core::escaped(mode), integer ? "int, " : "");
}

std::optional<std::int64_t> token(const Fields& f, const char* key) {
  return f.has(key) ? std::optional(f.integer(key, kLeast, kMost)) : std::nullopt;
}

core::Salt salt_of(const Fields& f) {
  if (!f.has("salt")) return std::nullopt;
  const Json& salt = f.at("salt");
  const bool pair = salt.is_array() && salt.size() == 2 && salt[0].is_number_integer() && salt[1].is_number_integer();
  if (!pair && !salt.is_number_integer()) f.fail_field(ErrorCode::value, "salt", "is neither an integer nor two of them");
  const auto key = [&](std::size_t i) {
    const Json& one = pair ? salt[i] : salt;
    return one.is_number_unsigned() ? one.get<std::uint64_t>() : static_cast<std::uint64_t>(one.get<std::int64_t>());
  };
  return std::array{key(0), key(1)};
}

/// The vocabulary in the config.
std::vector<std::int64_t> vocabulary_of(const Fields& f) {
  const Json& list = f.at("vocabulary");
  if (!list.is_array() || list.empty()) f.fail_field(ErrorCode::value, "vocabulary", "is not a list of integers");
  std::vector<std::int64_t> all;
  for (const Json& entry : list) {
    const bool fits = entry.is_number_integer() &&
                      !(entry.is_number_unsigned() && entry.get<std::uint64_t>() > static_cast<std::uint64_t>(kMost));
    if (!fits) f.fail_field(ErrorCode::value, "vocabulary", "has the entry {}, which is not an int64", all.size());
    all.push_back(entry.get<std::int64_t>());
  }
  return all;
}

/// The vocabulary without the special tokens, if it begins with exactly these.
std::span<const std::int64_t> words_of(std::span<const std::int64_t> vocabulary, const core::IntegerLookupParams& params,
                                       bool masked) {
  const std::size_t first = masked ? 1 : 0;
  const std::size_t special = first + static_cast<std::size_t>(params.oov_indices);
  if (vocabulary.size() < special || (masked && vocabulary[0] != *params.mask_token)) return vocabulary;
  for (std::size_t i = first; i < special; ++i) {
    if (!params.oov_token || vocabulary[i] != *params.oov_token) return vocabulary;
  }
  return vocabulary.subspan(special);
}

std::shared_ptr<const Tensor> column(const std::vector<std::pair<std::int64_t, std::int64_t>>& table, bool second) {
  std::vector<std::int64_t> numbers;
  for (const auto& [key, value] : table) numbers.push_back(second ? value : key);
  return std::make_shared<const Tensor>(Tensor::of<std::int64_t>(numbers, Shape{numbers.size()}));
}

}  // namespace

void set_vocabulary(core::IntegerLookupParams& params, std::span<const std::int64_t> vocabulary, const FailVocabulary& fail) {
  const bool integer = params.encoding == core::Encoding::integer;
  const bool masked = params.mask_token && integer;
  const std::int64_t first_unknown = masked ? 1 : 0;
  std::vector<std::pair<std::int64_t, std::int64_t>> table;
  std::int64_t next = first_unknown + params.oov_indices;
  for (const std::int64_t word : words_of(vocabulary, params, masked)) {
    table.emplace_back(word, next++);
    if (params.invert) std::swap(table.back().first, table.back().second);
  }
  if (params.padded_to != 0 && params.padded_to < next)
    fail(ErrorCode::value, core::format("has {} entries with the special tokens, max_tokens is {}", next, params.padded_to));
  params.depth = std::max(params.padded_to, next);
  if (params.invert) {
    if (params.mask_token) table.emplace_back(0, *params.mask_token);
    params.otherwise = *params.oov_token;
  } else {
    // Masked numbers are ignored by an encoding. Keras fails if unknown numbers have no index: here they get one outside every
    // table.
    if (params.mask_token) table.emplace_back(*params.mask_token, integer ? 0 : kMost);
    params.otherwise = params.oov_indices == 0 ? kLeast : first_unknown;
    (params.farmhash ? params.hashed : params.hashes) = params.oov_indices > 1 ? params.oov_indices : 0;
  }
  std::sort(table.begin(), table.end());
  for (std::size_t i = 1; i < table.size(); ++i) {
    if (table[i - 1].first == table[i].first)
      fail(ErrorCode::value, core::format("has {} twice, or as the mask_token too", table[i].first));
  }
  params.keys = column(table, false);
  params.values = column(table, true);
}

std::vector<std::int64_t> read_vocabulary(Bytes text, const FailVocabulary& fail) {
  constexpr std::size_t kMostWords = std::size_t{1} << 24U;
  const auto* at = reinterpret_cast<const char*>(text.data());
  const auto* const end = at + text.size();
  std::vector<std::int64_t> words;
  while (at != end) {
    const char* const stop = std::find(at, end, '\n');
    const char* const last = stop != at && stop[-1] == '\r' ? stop - 1 : stop;  // written on Windows
    const auto word = core::number_in<std::int64_t>({at, last});
    const bool empty_end = at == last && std::all_of(stop, end, [](char c) { return c == '\n' || c == '\r'; });
    if (empty_end) break;
    if (!word) fail(ErrorCode::value, core::format("has the line {}, which is not an int64", words.size() + 1));
    if (words.size() == kMostWords) fail(ErrorCode::limit, core::format("has more than {} lines", kMostWords));
    words.push_back(*word);
    at = stop == end ? end : stop + 1;
  }
  return words;
}

namespace {

core::LayerParams parse_category_encoding(const Fields& f, const std::string&, Reading& reading) {
  f.expect_only({"num_tokens", "output_mode", "sparse"});
  const core::CategoryEncodingParams params{f.integer("num_tokens", 1, 2147483647), encoding_of(f, "multi_hot", false),
                                            !reading.keras2};
  return params;
}

core::LayerParams parse_discretization(const Fields& f, const std::string&, Reading& reading) {
  f.expect_only({"bin_boundaries", "num_bins", "epsilon", "output_mode", "sparse"});
  if (!f.has("bin_boundaries")) {
    if (!reading.keras2 || !f.has("num_bins"))
      f.fail_field(ErrorCode::missing, "bin_boundaries", "are not in the config: the layer was never adapted");
    core::DiscretizationParams learnt{nullptr, f.integer("num_bins", 1, 2147483647), encoding_of(f, "int", true), DType::int64};
    return learnt;
  }
  Tensor boundaries = f.array("bin_boundaries").to(DType::float32);
  const auto numbers = boundaries.span<float>();
  if (boundaries.shape().rank() != 1 || numbers.empty())
    f.fail_field(ErrorCode::value, "bin_boundaries", "is not a list of numbers");
  // NaN is unordered.
  for (std::size_t i = 0; i < numbers.size(); ++i) {
    if (!(i == 0 ? numbers[i] == numbers[i] : numbers[i - 1] <= numbers[i]))
      f.fail_field(ErrorCode::unsupported, "bin_boundaries", "is not ascending at entry {}", i);
  }
  core::DiscretizationParams params{std::make_shared<const Tensor>(std::move(boundaries)), 0, encoding_of(f, "int", true)};
  params.integer = reading.keras2 ? DType::int64 : DType::int32;
  return params;
}

core::LayerParams parse_integer_lookup(const Fields& f, const std::string&, Reading& reading) {
  f.expect_only({"invert", "max_tokens", "num_oov_indices", "oov_token", "mask_token", "output_mode", "sparse",
                 "pad_to_max_tokens", "vocabulary_dtype", "idf_weights", "vocabulary", "vocabulary_size", "oov_method", "salt",
                 "has_input_vocabulary"});
  core::IntegerLookupParams params;
  params.encoding = encoding_of(f, "int", true);
  params.encoded = reading.keras2 ? DType::float32 : DType::int64;
  if (f.string("vocabulary_dtype", "int64") != "int64")
    f.fail_field(ErrorCode::unsupported, "vocabulary_dtype", "got {}, allowed int64", f.string("vocabulary_dtype", ""));
  const std::string method = f.string("oov_method", "floormod");
  params.farmhash = method == "farmhash";
  if (!params.farmhash && method != "floormod")
    f.fail_field(ErrorCode::value, "oov_method", "got '{}', allowed floormod, farmhash", core::escaped(method));
  params.salt = salt_of(f);
  if (params.salt && !params.farmhash) f.fail_field(ErrorCode::value, "salt", "is set without oov_method='farmhash'");
  params.oov_indices = f.has("num_oov_indices") ? f.integer("num_oov_indices", 0, 2147483647) : 1;
  params.mask_token = token(f, "mask_token");
  params.oov_token = token(f, "oov_token");
  params.padded_to = f.boolean("pad_to_max_tokens", false) ? f.integer("max_tokens", 1, kMost) : 0;
  params.invert = f.boolean("invert", false);
  if (params.invert && !params.oov_token) f.fail_field(ErrorCode::missing, "oov_token", "is missing, and invert needs it");
  params.adapted = !f.has("vocabulary");
  if (!params.adapted) {
    set_vocabulary(params, vocabulary_of(f),
                   [&](ErrorCode code, const std::string& what) { f.fail_field(code, "vocabulary", "{}", what); });
  } else if (!reading.has_assets) {
    f.fail_field(ErrorCode::unsupported, "vocabulary",
                 "is not in the file, because this format cannot store an adapted vocabulary: save the model as .keras, or "
                 "create the layer with vocabulary=layer.get_vocabulary()");
  }
  return params;
}

core::LayerParams parse_hashing(const Fields& f, const std::string&, Reading& reading) {
  f.expect_only({"num_bins", "mask_value", "salt", "output_mode", "sparse"});
  core::HashingParams params{f.integer("num_bins", 1, kMost)};
  if (f.has("mask_value") && f.at("mask_value").is_string())
    f.fail_field(ErrorCode::unsupported, "mask_value", "is a string; lamella hashes integers");
  params.mask = token(f, "mask_value");
  params.salt = salt_of(f);
  params.encoding = encoding_of(f, "int", true);
  params.in_variable_dtype = !reading.keras2;
  return params;
}

core::LayerParams parse_embedding(const Fields& f, const std::string&, Reading&) {
  f.expect_only({"input_dim", "output_dim", "mask_zero", "input_length", "sparse", "weights", "embeddings_initializer",
                 "embeddings_regularizer", "embeddings_constraint", "lora_rank", "lora_alpha", "quantization_config"});
  if (f.has("quantization_config"))
    f.fail_field(ErrorCode::unsupported, "quantization_config", "is set; quantized layers are not supported");
  const core::EmbeddingParams params{f.integer("input_dim", 1, 2147483647), f.integer("output_dim", 1, 2147483647),
                                     f.boolean("mask_zero", false)};
  return params;
}

}  // namespace

std::span<const LayerClass> lookup_layers() {
  static constexpr LayerClass rows[] = {
      // Quantized (`quantization_config`) is refused. A negative index counts from the end; one out of range gives NaN.
      {"Embedding", parse_embedding},

      // `sparse` results are refused. multi_hot and count: samples of one axis. Not of bools. No `count_weights`.
      {"CategoryEncoding", parse_category_encoding},

      // `sparse` results are refused. multi_hot and count: samples of one axis. `bin_boundaries` ascend; the layer is adapted,
      // or has them.
      {"Discretization", parse_discretization},

      // `sparse` results are refused. multi_hot and count: samples of one axis. `vocabulary_dtype`: int64. No `tf_idf`. A
      // `vocabulary` that adapt() learnt is in a `.keras` only.
      {"IntegerLookup", parse_integer_lookup},

      // `sparse` results are refused. multi_hot and count: samples of one axis. Of numbers: strings and bools are refused, a
      // string as `mask_value` too.
      {"Hashing", parse_hashing},
  };
  return rows;
}

}  // namespace lamella::keras
