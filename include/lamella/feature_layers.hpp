// SPDX-License-Identifier: Apache-2.0
/// Layers that compute features from time steps, categories and bins; lamella/layers.hpp has the other layers.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include <lamella/layers.hpp>

namespace lamella {

struct GlobalPoolingOptions {
  std::string data_format = "channels_last";  ///< (steps, channels), or "channels_first"
  bool keepdims = false;
  std::string name = {};
  bool trainable = true;
  std::string dtype = "float32";
};
/// The mean over all steps, or over the unmasked ones if there is a mask: NaN if all are masked.
class LAMELLA_API GlobalAveragePooling1D : public Layer {
 public:
  explicit GlobalAveragePooling1D(const GlobalPoolingOptions& options = {});
};
/// The maximum over all steps.
class LAMELLA_API GlobalMaxPooling1D : public Layer {
 public:
  explicit GlobalMaxPooling1D(const GlobalPoolingOptions& options = {});
};

/// Removes the first and last steps of (steps, channels): the same number at both ends, or {first, last}.
class LAMELLA_API Cropping1D : public Layer {
 public:
  explicit Cropping1D(const OneOrMany<std::int64_t>& cropping = {1, 1}, const LayerOptions& options = {});
};
struct ZeroPaddingOptions {
  std::string data_format = "channels_last";  ///< (steps, channels), or "channels_first"
  std::string name = {};
  bool trainable = true;
  std::string dtype = "float32";
};
/// Adds steps of zeros before the first and after the last: the same number at both ends, or {before, after}.
class LAMELLA_API ZeroPadding1D : public Layer {
 public:
  explicit ZeroPadding1D(const OneOrMany<std::int64_t>& padding = 1, const ZeroPaddingOptions& options = {});
};

struct CategoryEncodingOptions {
  std::string output_mode = "multi_hot";  ///< or "one_hot", "count"
  std::string name = {};
  bool trainable = true;
  std::string dtype = "float32";
};
/// Numbers 0 .. num_tokens - 1 as rows of zeros and ones, or as counts. Other numbers are ignored, as in Keras on JAX.
class LAMELLA_API CategoryEncoding : public Layer {
 public:
  explicit CategoryEncoding(std::int64_t num_tokens, const CategoryEncodingOptions& options = {});
};
struct DiscretizationOptions {
  std::string output_mode = "int";  ///< or "one_hot", "multi_hot", "count"
  std::string name = {};
  std::string dtype = "float32";
};
/// The number of boundaries at or below x: an int32, or what CategoryEncoding makes of it. There is no adapt().
class LAMELLA_API Discretization : public Layer {
 public:
  explicit Discretization(const std::vector<double>& bin_boundaries, const DiscretizationOptions& options = {});
};

struct IntegerLookupOptions {
  std::optional<std::int64_t> max_tokens = std::nullopt;
  std::int64_t num_oov_indices = 1;
  std::optional<std::int64_t> mask_token = std::nullopt;
  std::int64_t oov_token = -1;
  bool invert = false;
  std::string output_mode = "int";  ///< or "one_hot", "multi_hot", "count"
  bool pad_to_max_tokens = false;
  std::string name = {};
  bool trainable = true;
  std::string dtype = "float32";
};
/// The index of a number in the vocabulary: an int64, or what CategoryEncoding makes of it; the reverse with `invert`. Unknown
/// numbers share the first `num_oov_indices` indices. There is no adapt().
class LAMELLA_API IntegerLookup : public Layer {
 public:
  explicit IntegerLookup(const std::vector<std::int64_t>& vocabulary, const IntegerLookupOptions& options = {});
};
struct HashingOptions {
  std::optional<std::int64_t> mask_value = std::nullopt;  ///< this number alone is in bin 0
  std::vector<std::uint64_t> salt = {};                   ///< one or two numbers: SipHash instead of FarmHash
  std::string output_mode = "int";                        ///< or "one_hot", "multi_hot", "count"
  std::string name = {};
  bool trainable = true;
  std::string dtype = {};  ///< int64 for "int", else float32
};
/// Assigns each number to one of `num_bins`, by a hash of its decimal text.
class LAMELLA_API Hashing : public Layer {
 public:
  explicit Hashing(std::int64_t num_bins, const HashingOptions& options = {});
};

}  // namespace lamella
