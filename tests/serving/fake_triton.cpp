// SPDX-License-Identifier: Apache-2.0
#include "serving/fake_triton.hpp"

#include <algorithm>
#include <array>
#include <cstdlib>
#include <cstring>

using lamella::test::FakeServer;

extern "C" {

TRITONSERVER_Error* TRITONSERVER_ErrorNew(TRITONSERVER_Error_Code code, const char* message) {
  static std::array<TRITONSERVER_Error, 64> all{};
  auto* const error = std::find_if(all.begin(), all.end(), [](const TRITONSERVER_Error& one) { return !one.alive; });
  if (error == all.end()) std::abort();
  ++FakeServer::errors_alive;
  error->code = code;
  error->alive = true;
  std::strncpy(error->message, message, sizeof error->message - 1);
  return error;
}
void TRITONSERVER_ErrorDelete(TRITONSERVER_Error* error) {
  FakeServer::errors_alive -= error->alive;
  error->alive = false;
}
TRITONSERVER_Error_Code TRITONSERVER_ErrorCode(TRITONSERVER_Error* error) { return error->code; }
const char* TRITONSERVER_ErrorMessage(TRITONSERVER_Error* error) { return error->message; }
const char* TRITONSERVER_DataTypeString(TRITONSERVER_DataType type) { return type == TRITONSERVER_TYPE_BYTES ? "BYTES" : "FP64"; }
TRITONSERVER_Error* TRITONSERVER_LogMessage(TRITONSERVER_LogLevel, const char*, int, const char*) { return nullptr; }

TRITONSERVER_Error* TRITONSERVER_MessageNewFromSerializedJson(TRITONSERVER_Message** message, const char* base,
                                                              std::size_t bytes) {
  ++FakeServer::messages_alive;
  *message = new TRITONSERVER_Message{{base, bytes}};
  return nullptr;
}
TRITONSERVER_Error* TRITONSERVER_MessageSerializeToJson(TRITONSERVER_Message* message, const char** base, std::size_t* bytes) {
  *base = message->text.data();
  *bytes = message->text.size();
  return nullptr;
}
TRITONSERVER_Error* TRITONSERVER_MessageDelete(TRITONSERVER_Message* message) {
  --FakeServer::messages_alive;
  delete message;
  return nullptr;
}

TRITONSERVER_Error* TRITONBACKEND_ApiVersion(std::uint32_t* major, std::uint32_t* minor) {
  *major = FakeServer::major;
  *minor = FakeServer::minor;
  return nullptr;
}
TRITONSERVER_Error* TRITONBACKEND_BackendConfig(TRITONBACKEND_Backend* backend, TRITONSERVER_Message** config) {
  *config = &backend->config;
  return nullptr;
}

TRITONSERVER_Error* TRITONBACKEND_ModelName(TRITONBACKEND_Model* model, const char** name) {
  *name = model->name.c_str();
  return nullptr;
}
TRITONSERVER_Error* TRITONBACKEND_ModelVersion(TRITONBACKEND_Model*, std::uint64_t* version) {
  *version = 1;
  return nullptr;
}
TRITONSERVER_Error* TRITONBACKEND_ModelRepository(TRITONBACKEND_Model* model, TRITONBACKEND_ArtifactType* type,
                                                  const char** location) {
  *type = TRITONBACKEND_ARTIFACT_FILESYSTEM;
  *location = model->repository.c_str();
  return nullptr;
}
TRITONSERVER_Error* TRITONBACKEND_ModelBackend(TRITONBACKEND_Model* model, TRITONBACKEND_Backend** backend) {
  *backend = &model->backend;
  return nullptr;
}
TRITONSERVER_Error* TRITONBACKEND_ModelConfig(TRITONBACKEND_Model* model, std::uint32_t, TRITONSERVER_Message** config) {
  return TRITONSERVER_MessageNewFromSerializedJson(config, model->config.data(), model->config.size());
}
TRITONSERVER_Error* TRITONBACKEND_ModelSetConfig(TRITONBACKEND_Model* model, std::uint32_t, TRITONSERVER_Message* config) {
  model->config = config->text;
  return nullptr;
}
TRITONSERVER_Error* TRITONBACKEND_ModelAutoCompleteConfig(TRITONBACKEND_Model* model, bool* auto_complete) {
  *auto_complete = model->completes;
  return nullptr;
}
TRITONSERVER_Error* TRITONBACKEND_ModelState(TRITONBACKEND_Model* model, void** state) {
  *state = model->state;
  return nullptr;
}
TRITONSERVER_Error* TRITONBACKEND_ModelSetState(TRITONBACKEND_Model* model, void* state) {
  model->state = state;
  return nullptr;
}

TRITONSERVER_Error* TRITONBACKEND_ModelInstanceKind(TRITONBACKEND_ModelInstance* instance, TRITONSERVER_InstanceGroupKind* kind) {
  *kind = instance->kind;
  return nullptr;
}
TRITONSERVER_Error* TRITONBACKEND_ModelInstanceDeviceId(TRITONBACKEND_ModelInstance* instance, std::int32_t* id) {
  *id = instance->device;
  return nullptr;
}
TRITONSERVER_Error* TRITONBACKEND_ModelInstanceModel(TRITONBACKEND_ModelInstance* instance, TRITONBACKEND_Model** model) {
  *model = instance->model;
  return nullptr;
}
TRITONSERVER_Error* TRITONBACKEND_ModelInstanceState(TRITONBACKEND_ModelInstance* instance, void** state) {
  *state = instance->state;
  return nullptr;
}
TRITONSERVER_Error* TRITONBACKEND_ModelInstanceSetState(TRITONBACKEND_ModelInstance* instance, void* state) {
  instance->state = state;
  return nullptr;
}
TRITONSERVER_Error* TRITONBACKEND_ModelInstanceReportStatistics(TRITONBACKEND_ModelInstance*, TRITONBACKEND_Request* request,
                                                                bool success, std::uint64_t exec_start,
                                                                std::uint64_t compute_start, std::uint64_t compute_end,
                                                                std::uint64_t exec_end) {
  const bool in_order = exec_start <= compute_start && compute_start <= compute_end && compute_end <= exec_end;
  request->succeeded += success && in_order && request->released == 0;
  request->failed += !success && request->released == 0;
  return nullptr;
}
TRITONSERVER_Error* TRITONBACKEND_ModelInstanceReportBatchStatistics(TRITONBACKEND_ModelInstance* instance, std::uint64_t rows,
                                                                     std::uint64_t, std::uint64_t, std::uint64_t, std::uint64_t) {
  instance->batches.push_back(rows);
  return nullptr;
}

TRITONSERVER_Error* TRITONBACKEND_RequestInput(TRITONBACKEND_Request* request, const char* name, TRITONBACKEND_Input** input) {
  const auto found =
      std::find_if(request->inputs.begin(), request->inputs.end(), [&](const auto& one) { return one.name == name; });
  if (found == request->inputs.end()) return TRITONSERVER_ErrorNew(TRITONSERVER_ERROR_NOT_FOUND, "no such input");
  *input = &*found;
  return nullptr;
}
TRITONSERVER_Error* TRITONBACKEND_RequestOutputCount(TRITONBACKEND_Request* request, std::uint32_t* count) {
  *count = static_cast<std::uint32_t>(request->outputs.size());
  return nullptr;
}
TRITONSERVER_Error* TRITONBACKEND_RequestOutputName(TRITONBACKEND_Request* request, std::uint32_t index, const char** name) {
  *name = request->outputs[index].c_str();
  return nullptr;
}
TRITONSERVER_Error* TRITONBACKEND_RequestRelease(TRITONBACKEND_Request* request, std::uint32_t) {
  ++request->released;
  return nullptr;
}
TRITONSERVER_Error* TRITONBACKEND_InputProperties(TRITONBACKEND_Input* input, const char**, TRITONSERVER_DataType* type,
                                                  const std::int64_t** shape, std::uint32_t* rank, std::uint64_t* bytes,
                                                  std::uint32_t* buffers) {
  *type = input->type;
  *shape = input->shape.data();
  *rank = static_cast<std::uint32_t>(input->shape.size());
  *bytes = 0;
  *buffers = static_cast<std::uint32_t>(input->pieces.size());
  return nullptr;
}
TRITONSERVER_Error* TRITONBACKEND_InputBuffer(TRITONBACKEND_Input* input, std::uint32_t index, const void** buffer,
                                              std::uint64_t* bytes, TRITONSERVER_MemoryType* memory, std::int64_t*) {
  *buffer = input->pieces[index].data();
  *bytes = input->pieces[index].size();
  *memory = input->memory;
  return nullptr;
}
TRITONSERVER_Error* TRITONBACKEND_OutputBuffer(TRITONBACKEND_Output* output, void** buffer, std::uint64_t bytes,
                                               TRITONSERVER_MemoryType* memory, std::int64_t*) {
  if (output->name.empty()) return TRITONSERVER_ErrorNew(TRITONSERVER_ERROR_UNAVAILABLE, "no memory for an output");
  *memory = output->memory;
  output->values.resize(bytes / sizeof(float));
  *buffer = output->values.data();
  return nullptr;
}

TRITONSERVER_Error* TRITONBACKEND_ResponseNew(TRITONBACKEND_Response** response, TRITONBACKEND_Request* request) {
  if (request->response_fails) return TRITONSERVER_ErrorNew(TRITONSERVER_ERROR_UNAVAILABLE, "no memory for a response");
  ++FakeServer::responses_alive;
  request->response.request = request;
  *response = &request->response;
  return nullptr;
}
TRITONSERVER_Error* TRITONBACKEND_ResponseDelete(TRITONBACKEND_Response*) {
  --FakeServer::responses_alive;
  return nullptr;
}
TRITONSERVER_Error* TRITONBACKEND_ResponseOutput(TRITONBACKEND_Response* response, TRITONBACKEND_Output** output,
                                                 const char* name, TRITONSERVER_DataType type, const std::int64_t* shape,
                                                 std::uint32_t rank) {
  TRITONBACKEND_Output& made = response->request->answers[name];
  made.name = response->request->output_fails ? "" : name;
  made.type = type;
  made.shape.assign(shape, shape + rank);
  made.memory = response->request->output_memory;
  *output = &made;
  return nullptr;
}
TRITONSERVER_Error* TRITONBACKEND_ResponseSend(TRITONBACKEND_Response* response, std::uint32_t, TRITONSERVER_Error* error) {
  ++response->request->sent;
  response->request->error = error == nullptr ? "" : error->message;
  return TRITONBACKEND_ResponseDelete(response);
}
}
