// SPDX-License-Identifier: Apache-2.0
// Reads a config.json without weights.
#include "fuzz.hpp"
#include "keras/json.hpp"
#include "keras/reading.hpp"

using namespace lamella;

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  fuzz::survives([&] {
    const nlohmann::json config = keras::parse_json(fuzz::owned(data, size).bytes, keras::Where("fuzz.json"));
    keras::Reading reading;
    reading.where = keras::Where("fuzz.keras").member("config.json");
    try {
      const auto model = keras::read_model(config, "", reading);
      fuzz::expect(!model->outputs.empty() && !model->nodes.empty(), "a model without outputs");
      for (const core::NodeSpec& node : model->nodes) {
        fuzz::expect(static_cast<std::size_t>(node.layer) < model->layers.size(), "a call of a layer that does not exist");
      }
    } catch (const nlohmann::json::exception&) {
      // load_model turns it into a LoadError.
    }
  });
  return 0;
}
