// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include <lamella/lamella.h>

#include "triton_api.hpp"

/// lamella's C interface as this backend uses it.
namespace lamella::triton {

/// One element type and its names.
struct ElementType {
  std::int32_t lamella;
  TRITONSERVER_DataType triton;
  std::string_view name;  ///< Triton's, without "TYPE_"
  std::size_t bytes;
};
[[nodiscard]] const ElementType& element_type(std::int32_t lamella);

/// An input or output of a model.
struct Port {
  std::string name;
  ElementType type;
  std::vector<std::int64_t> sample;  ///< extents without the batch; -1 where Keras has None

  bool operator==(const Port& other) const {
    return name == other.name && type.lamella == other.type.lamella && sample == other.sample;
  }
};

struct Ports {
  std::vector<Port> inputs;
  std::vector<Port> outputs;

  bool operator==(const Ports&) const = default;
};

/// Options by name, as lamella_options_set() takes them.
using Options = std::vector<std::pair<std::string, std::string>>;

/// Outputs in memory that the library owns.
class Results {
 public:
  /// Takes `results`. Throws Failure.
  Results(lamella_results* results, std::size_t count);
  [[nodiscard]] std::span<const lamella_tensor> tensors() const noexcept { return tensors_; }

 private:
  struct Free {
    void operator()(lamella_results* results) const noexcept { lamella_results_free(results); }
  };
  std::unique_ptr<lamella_results, Free> results_;
  std::vector<lamella_tensor> tensors_;
};

/// A model on one device, for any number of threads.
class Model {
 public:
  /// Throws Failure.
  Model(const std::string& path, const Options& options, const std::string& device);
  [[nodiscard]] const Ports& ports() const noexcept { return ports_; }
  /// Every input and output, in host memory. Throws Failure.
  void predict(std::span<const lamella_tensor> inputs, std::span<const lamella_tensor> outputs) const;
  /// The same, for outputs whose shape depends on the inputs. Throws Failure.
  [[nodiscard]] Results predict(std::span<const lamella_tensor> inputs) const;

 private:
  struct Free {
    void operator()(lamella_model* model) const noexcept { lamella_model_free(model); }
  };
  std::unique_ptr<lamella_model, Free> model_;
  Ports ports_;
};

/// "[4, -1]"
[[nodiscard]] std::string text_of(std::span<const std::int64_t> shape);

}  // namespace lamella::triton
