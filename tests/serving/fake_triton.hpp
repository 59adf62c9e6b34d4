// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "triton_api.hpp"

/// The server's side of Triton's backend API, for situations that a real server cannot be made to produce: other kinds of memory,
/// inputs in pieces, failing calls. The objects behind the handles are plain data, which tests fill in and read. If a test
/// reserves the memory of an answer, the double allocates nothing while a request is handled, so that each failing allocation is
/// the backend's.

struct TRITONSERVER_Error {
  TRITONSERVER_Error_Code code;
  char message[512];
  bool alive;
};

struct TRITONSERVER_Message {
  std::string text;
};

struct TRITONBACKEND_Backend {
  TRITONSERVER_Message config{R"({"cmdline":{"default-max-batch-size":"16"}})"};
};

struct TRITONBACKEND_Input {
  std::string name;
  TRITONSERVER_DataType type = TRITONSERVER_TYPE_FP32;
  std::vector<std::int64_t> shape;
  std::vector<std::vector<std::byte>> pieces;
  TRITONSERVER_MemoryType memory = TRITONSERVER_MEMORY_CPU;
};

struct TRITONBACKEND_Output {
  std::string name;
  TRITONSERVER_DataType type = TRITONSERVER_TYPE_FP32;
  std::vector<std::int64_t> shape;
  std::vector<float> values;
  TRITONSERVER_MemoryType memory = TRITONSERVER_MEMORY_CPU;
};

struct TRITONBACKEND_Response {
  TRITONBACKEND_Request* request;
};

struct TRITONBACKEND_Request {
  std::vector<TRITONBACKEND_Input> inputs;
  std::vector<std::string> outputs;
  bool response_fails = false;
  bool output_fails = false;
  TRITONSERVER_MemoryType output_memory = TRITONSERVER_MEMORY_CPU;
  // Written by the backend.
  std::map<std::string, TRITONBACKEND_Output> answers;
  TRITONBACKEND_Response response{};
  std::string error;  ///< the response's error
  int sent = 0;
  int released = 0;
  int succeeded = 0;
  int failed = 0;
};

struct TRITONBACKEND_Model {
  std::string name = "model";
  std::string repository;
  std::string config = "{}";
  bool completes = true;
  void* state = nullptr;
  TRITONBACKEND_Backend backend;
};

struct TRITONBACKEND_ModelInstance {
  TRITONBACKEND_Model* model = nullptr;
  TRITONSERVER_InstanceGroupKind kind = TRITONSERVER_INSTANCEGROUPKIND_CPU;
  std::int32_t device = 0;
  void* state = nullptr;
  std::vector<std::uint64_t> batches;  ///< rows of each execution
};

namespace lamella::test {

struct FakeServer {
  static inline std::uint32_t major = TRITONBACKEND_API_VERSION_MAJOR;
  static inline std::uint32_t minor = TRITONBACKEND_API_VERSION_MINOR;
  static inline int errors_alive = 0;
  static inline int responses_alive = 0;
  static inline int messages_alive = 0;
};

}  // namespace lamella::test

extern "C" {
TRITONSERVER_Error* TRITONBACKEND_Initialize(TRITONBACKEND_Backend* backend);
TRITONSERVER_Error* TRITONBACKEND_ModelInitialize(TRITONBACKEND_Model* model);
TRITONSERVER_Error* TRITONBACKEND_ModelFinalize(TRITONBACKEND_Model* model);
TRITONSERVER_Error* TRITONBACKEND_ModelInstanceInitialize(TRITONBACKEND_ModelInstance* instance);
TRITONSERVER_Error* TRITONBACKEND_ModelInstanceFinalize(TRITONBACKEND_ModelInstance* instance);
TRITONSERVER_Error* TRITONBACKEND_ModelInstanceExecute(TRITONBACKEND_ModelInstance* instance, TRITONBACKEND_Request** requests,
                                                       std::uint32_t count);
}
