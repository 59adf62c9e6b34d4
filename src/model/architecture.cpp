// SPDX-License-Identifier: Apache-2.0
#include <lamella/architecture.hpp>

#include <sstream>

#include "core/check.hpp"
#include "core/float_environment.hpp"
#include "keras/load.hpp"
#include "keras/reading.hpp"
#include "model/impl.hpp"

namespace lamella {

Model load_architecture(const std::string& json, const std::string& weights, const Options& options) {
  return model::made_of(keras::load_model(json, weights, options.hard_sigmoid), options, json);
}

Model load_with_shape(const std::string& path, const std::vector<std::int64_t>& sample_shape, const Options& options) {
  for (const std::int64_t extent : sample_shape)
    LAMELLA_EXPECTS(extent >= -1, value, "[load_with_shape] sample_shape: got the extent {}, allowed -1, 0..", extent);
  LAMELLA_EXPECTS(sample_shape.size() < Shape::kMaxRank, limit, "[load_with_shape] sample_shape: has {} axes, allowed 0..{}",
                  sample_shape.size(), Shape::kMaxRank - 1);
  const core::FloatEnvironment environment;
  return model::made_of(keras::load_model(path, options.hard_sigmoid, sample_shape), options, path);
}

std::vector<std::string> supported_layers() {
  std::vector<std::string> names;
  std::istringstream text(keras::supported_classes());
  for (std::string name; std::getline(text >> std::ws, name, ',');) names.push_back(name);
  return names;
}

}  // namespace lamella
