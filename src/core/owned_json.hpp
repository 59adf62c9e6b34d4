// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <utility>

namespace lamella::core {

/// Empties a value of nlohmann's library from the leaves up, without memory. The library's destructor asks for memory to destroy
/// what is nested, and where there is none it ends the program.
template <typename Json>
void dismantle(Json& value) noexcept {
  if (!value.is_structured()) return;
  for (Json& inner : value) dismantle(inner);  // as deep as the reader allows
  value.clear();
}

/// A JSON value that is destroyed without memory. Copies of nested values must not be made beside it: they would not be.
template <typename Json>
class OwnedJson {
 public:
  OwnedJson() = default;
  explicit OwnedJson(Json&& value) : value_(std::move(value)) {}
  OwnedJson(OwnedJson&& other) noexcept : value_(std::move(other.value_)) {}
  OwnedJson& operator=(OwnedJson&&) = delete;
  OwnedJson(const OwnedJson&) = delete;
  OwnedJson& operator=(const OwnedJson&) = delete;
  ~OwnedJson() { dismantle(value_); }

  [[nodiscard]] Json& operator*() noexcept { return value_; }
  [[nodiscard]] const Json& operator*() const noexcept { return value_; }
  [[nodiscard]] const Json* operator->() const noexcept { return &value_; }

 private:
  Json value_;
};

}  // namespace lamella::core
