// SPDX-License-Identifier: Apache-2.0
#include "served_model.hpp"

#include <cstdlib>
#include <filesystem>

#include "failure.hpp"

namespace lamella::triton {
namespace {

constexpr std::uint32_t kConfigVersion = 1;

struct DeleteMessage {
  void operator()(TRITONSERVER_Message* message) const noexcept { log_and_delete(TRITONSERVER_MessageDelete(message)); }
};
using MessageHandle = std::unique_ptr<TRITONSERVER_Message, DeleteMessage>;

Json json_of(TRITONSERVER_Message* message) {
  const char* text = nullptr;
  std::size_t bytes = 0;
  check(TRITONSERVER_MessageSerializeToJson(message, &text, &bytes));
  return Json::parse(text, text + bytes);
}

Json config_of(TRITONBACKEND_Model* handle) {
  TRITONSERVER_Message* message = nullptr;
  check(TRITONBACKEND_ModelConfig(handle, kConfigVersion, &message));
  const MessageHandle owned(message);
  return json_of(message);
}

void set_config(TRITONBACKEND_Model* handle, const Json& config) {
  const std::string text = config.dump();
  TRITONSERVER_Message* message = nullptr;
  check(TRITONSERVER_MessageNewFromSerializedJson(&message, text.data(), text.size()));
  const MessageHandle owned(message);
  check(TRITONBACKEND_ModelSetConfig(handle, kConfigVersion, message));
}

/// The value of the server's --backend-config=default-max-batch-size, for configurations without max_batch_size.
std::int64_t default_most_rows(TRITONBACKEND_Model* handle) {
  TRITONBACKEND_Backend* backend = nullptr;
  check(TRITONBACKEND_ModelBackend(handle, &backend));
  TRITONSERVER_Message* message = nullptr;
  check(TRITONBACKEND_BackendConfig(backend, &message));
  const Json config = json_of(message);
  const std::string text = config.value("cmdline", Json::object()).value("default-max-batch-size", std::string("4"));
  char* end = nullptr;
  const long rows = std::strtol(text.c_str(), &end, 10);
  if (end == text.c_str() || *end != '\0' || rows < 0 || rows > 2147483647L)
    refuse("--backend-config default-max-batch-size: got '" + text + "', allowed 0..2147483647");
  return rows;
}

std::string version_folder(TRITONBACKEND_Model* handle) {
  TRITONBACKEND_ArtifactType type = TRITONBACKEND_ARTIFACT_FILESYSTEM;
  const char* location = nullptr;
  check(TRITONBACKEND_ModelRepository(handle, &type, &location));
  if (type != TRITONBACKEND_ARTIFACT_FILESYSTEM) refuse("the model repository is not in a file system");
  std::uint64_t version = 0;
  check(TRITONBACKEND_ModelVersion(handle, &version));
  return (std::filesystem::path(location) / std::to_string(version)).string();
}

/// The file's inputs and outputs do not depend on the engine, whose names are those of one kind of device.
Options without_engine(Options options) {
  std::erase_if(options, [](const auto& option) { return option.first == "engine"; });
  return options;
}

}  // namespace

ServedModel::ServedModel(TRITONBACKEND_Model* handle) {
  Json config = config_of(handle);
  file_ = model_file(config, version_folder(handle));
  options_ = options_of(config);
  const Options any_device = without_engine(options_);
  read_ = std::make_shared<const Model>(file_, any_device, "cpu");
  ports_ = read_->ports();
  if (any_device.size() == options_.size()) models_["cpu"] = read_;
  bool completes = false;
  check(TRITONBACKEND_ModelAutoCompleteConfig(handle, &completes));
  if (completes) {
    config = completed(std::move(config), ports_, default_most_rows(handle));
    set_config(handle, config);
  }
  expect_agreement(config, ports_);
}

std::shared_ptr<const Model> ServedModel::on(const std::string& device) {
  const std::scoped_lock lock(mutex_);
  std::weak_ptr<const Model>& known = models_[device];
  std::shared_ptr<const Model> model = known.lock();
  if (model == nullptr) {
    model = std::make_shared<const Model>(file_, options_, device);
    if (model->ports() != ports_) refuse(file_ + ": has other inputs or outputs than when the model was loaded; load it again");
    known = model;
  }
  read_.reset();
  return model;
}

}  // namespace lamella::triton
