// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <map>
#include <memory>
#include <mutex>
#include <string>

#include "config.hpp"

namespace lamella::triton {

/// One version of a model in the server's repository.
class ServedModel {
 public:
  /// Reads the file, completes the configuration if the server allows it, and compares the two. Throws Failure.
  explicit ServedModel(TRITONBACKEND_Model* handle);
  /// The model on a device, shared by the instances there. Throws Failure.
  [[nodiscard]] std::shared_ptr<const Model> on(const std::string& device);

 private:
  std::string file_;
  Options options_;
  Ports ports_;
  std::mutex mutex_;
  std::shared_ptr<const Model> read_;  ///< on the CPU, until the first instance has taken it over
  std::map<std::string, std::weak_ptr<const Model>> models_;
};

}  // namespace lamella::triton
