// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <string>
#include <string_view>

#include <lamella/error.hpp>

#include "core/check.hpp"

namespace lamella::keras {

/// A place in a file, with which errors begin: "model.keras!config.json: layer 'a/dense' field 'units'". Names are escaped only
/// here. A step further down creates a new place; places needed only for an error are created when it occurs.
class Where {
 public:
  Where() = default;
  /// A file by its path, or its substitute: "(memory)".
  explicit Where(std::string_view file) : text_(core::escaped(file, kLongestFile)) {}

  /// A member of an archive.
  [[nodiscard]] Where member(std::string_view name) const { return then("!", name); }
  /// A file in a folder.
  [[nodiscard]] Where entry(std::string_view name) const { return then("/", name); }
  /// An object of an HDF5 file by its path; the leading '/' is optional.
  [[nodiscard]] Where object(std::string_view path) const { return then(path.starts_with('/') ? ":" : ":/", path); }
  [[nodiscard]] Where attribute(std::string_view name) const { return then(": attribute '", name, "'"); }
  [[nodiscard]] Where layer(std::string_view path) const { return then(": layer '", path, "'"); }
  [[nodiscard]] Where model(std::string_view name) const { return then(": model '", name, "'"); }
  /// A field of a layer's config, and a weight of a layer.
  [[nodiscard]] Where field(std::string_view key) const { return then(" field '", key, "'", kLongestKey); }
  [[nodiscard]] Where weight(std::string_view name) const { return then(" weight '", name, "'"); }

  /// A named array of a file.
  [[nodiscard]] Where array(std::string_view name) const { return then(": '", name, "'"); }

  [[nodiscard]] const std::string& text() const noexcept { return text_; }

  /// Throws LoadError: "PLACE: MESSAGE".
  template <typename... Args>
  [[noreturn]] void fail(ErrorCode code, core::FormatString<Args...> message, const Args&... args) const {
    throw LoadError(code, text_ + ": " + core::format(message, args...));
  }
  /// The same with the place as the subject of the sentence: "PLACE MESSAGE".
  template <typename... Args>
  [[noreturn]] void fail_sentence(ErrorCode code, core::FormatString<Args...> message, const Args&... args) const {
    throw LoadError(code, text_ + " " + core::format(message, args...));
  }

 private:
  static constexpr std::size_t kLongestFile = 4096;
  static constexpr std::size_t kLongestName = 256;
  static constexpr std::size_t kLongestKey = 64;

  [[nodiscard]] Where then(std::string_view before, std::string_view name, std::string_view after = "",
                           std::size_t limit = kLongestName) const {
    Where where;
    where.text_.append(text_).append(before).append(core::escaped(name, limit)).append(after);
    return where;
  }

  std::string text_;
};

}  // namespace lamella::keras
