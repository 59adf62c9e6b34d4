// SPDX-License-Identifier: Apache-2.0
#include <lamella/architecture.hpp>

#include "core/check.hpp"
#include "keras/load.hpp"

namespace lamella {

Model load_architecture(const std::string& json, const std::string& weights, const Options& options) {
  auto spec = keras::load_model(json, weights, options.hard_sigmoid);
  try {
    return {std::move(spec), options};
  } catch (const ArgumentError& error) {  // as in Model::load()
    const std::string_view what = core::without_code(error.what());
    if (!what.starts_with("layer '")) throw;
    throw LoadError(error.code(), core::concat(core::escaped(json, 4096), ": ", what));
  }
}

}  // namespace lamella
