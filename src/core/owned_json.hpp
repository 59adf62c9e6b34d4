// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <utility>

namespace lamella::core {

/// Empties a value of nlohmann's library from the leaves up, without allocating. The library's destructor allocates to destroy
/// nested values, and terminates the program if that fails.
template <typename Json>
void dismantle(Json& value) noexcept {
  if (!value.is_structured()) return;
  for (Json& inner : value) dismantle(inner);  // as deep as the reader allows
  value.clear();
}

/// A JSON value whose destruction does not allocate. Do not copy nested values out of it: the copies' destruction would.
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
