// SPDX-License-Identifier: Apache-2.0
#include <lamella/architecture.hpp>

#include "core/check.hpp"
#include "core/float_environment.hpp"
#include "keras/load.hpp"

namespace lamella {

namespace {

Model model_of(std::shared_ptr<const core::ModelSpec> spec, const std::string& file, const Options& options) {
  try {
    return {std::move(spec), options};
  } catch (const ArgumentError& error) {  // as in Model::load()
    const std::string_view what = core::without_code(error.what());
    if (!what.starts_with("layer '")) throw;
    throw LoadError(error.code(), core::concat(core::escaped(file, 4096), ": ", what));
  }
}

}  // namespace

Model load_architecture(const std::string& json, const std::string& weights, const Options& options) {
  return model_of(keras::load_model(json, weights, options.hard_sigmoid), json, options);
}

Model load_with_shape(const std::string& path, const std::vector<std::int64_t>& sample_shape, const Options& options) {
  for (const std::int64_t extent : sample_shape)
    LAMELLA_EXPECTS(extent >= -1, value, "[load_with_shape] sample_shape: got the extent ", extent, ", allowed -1, 0..");
  LAMELLA_EXPECTS(sample_shape.size() < Shape::kMaxRank, limit, "[load_with_shape] sample_shape: has ", sample_shape.size(),
                  " axes, allowed 0..", Shape::kMaxRank - 1);
  const core::FloatEnvironment environment;
  return model_of(keras::load_model(path, options.hard_sigmoid, sample_shape), path, options);
}

}  // namespace lamella
