// SPDX-License-Identifier: Apache-2.0
// The functions that Triton Inference Server looks up in libtriton_lamella.so.
#include <memory>
#include <string>

#include "batch.hpp"
#include "failure.hpp"
#include "served_model.hpp"

#define LAMELLA_TRITON_ENTRY extern "C" __attribute__((visibility("default"))) TRITONSERVER_Error*

namespace lamella::triton {
namespace {

void expect_versions() {
  std::uint32_t major = 0;
  std::uint32_t minor = 0;
  check(TRITONBACKEND_ApiVersion(&major, &minor));
  if (major != TRITONBACKEND_API_VERSION_MAJOR || minor < TRITONBACKEND_API_VERSION_MINOR) {
    throw Failure(TRITONSERVER_ERROR_UNSUPPORTED, "the server has backend API " + std::to_string(major) + "." +
                                                      std::to_string(minor) + ", this backend needs 1.19 or a later 1.x");
  }
  if (lamella_abi_version() != LAMELLA_ABI_VERSION) {
    throw Failure(TRITONSERVER_ERROR_UNSUPPORTED, "liblamella.so has ABI " + std::to_string(lamella_abi_version()) +
                                                      ", this backend was built for " + std::to_string(LAMELLA_ABI_VERSION));
  }
}

/// The device of an instance, by lamella's name.
std::string device_of(TRITONBACKEND_ModelInstance* instance) {
  TRITONSERVER_InstanceGroupKind kind = TRITONSERVER_INSTANCEGROUPKIND_AUTO;
  check(TRITONBACKEND_ModelInstanceKind(instance, &kind));
  if (kind == TRITONSERVER_INSTANCEGROUPKIND_CPU) return "cpu";
  if (kind != TRITONSERVER_INSTANCEGROUPKIND_GPU) refuse("instance_group: kind: got KIND_MODEL, allowed KIND_CPU, KIND_GPU");
  std::int32_t id = 0;
  check(TRITONBACKEND_ModelInstanceDeviceId(instance, &id));
  return "cuda:" + std::to_string(id);
}

std::unique_ptr<Executor> made(TRITONBACKEND_ModelInstance* instance) {
  TRITONBACKEND_Model* model = nullptr;
  check(TRITONBACKEND_ModelInstanceModel(instance, &model));
  void* state = nullptr;
  check(TRITONBACKEND_ModelState(model, &state));
  return std::make_unique<Executor>(instance, static_cast<ServedModel*>(state)->on(device_of(instance)));
}

}  // namespace
}  // namespace lamella::triton

using lamella::triton::check;
using lamella::triton::Executor;
using lamella::triton::guarded;
using lamella::triton::ServedModel;

LAMELLA_TRITON_ENTRY TRITONBACKEND_Initialize(TRITONBACKEND_Backend*) { return guarded(lamella::triton::expect_versions); }

LAMELLA_TRITON_ENTRY TRITONBACKEND_ModelInitialize(TRITONBACKEND_Model* model) {
  return guarded([&] {
    auto served = std::make_unique<ServedModel>(model);
    check(TRITONBACKEND_ModelSetState(model, served.get()));
    (void)served.release();  // TRITONBACKEND_ModelFinalize deletes it
  });
}

LAMELLA_TRITON_ENTRY TRITONBACKEND_ModelFinalize(TRITONBACKEND_Model* model) {
  return guarded([&] {
    void* state = nullptr;
    check(TRITONBACKEND_ModelState(model, &state));
    delete static_cast<ServedModel*>(state);
  });
}

LAMELLA_TRITON_ENTRY TRITONBACKEND_ModelInstanceInitialize(TRITONBACKEND_ModelInstance* instance) {
  return guarded([&] {
    auto executor = lamella::triton::made(instance);
    check(TRITONBACKEND_ModelInstanceSetState(instance, executor.get()));
    (void)executor.release();  // TRITONBACKEND_ModelInstanceFinalize deletes it
  });
}

LAMELLA_TRITON_ENTRY TRITONBACKEND_ModelInstanceFinalize(TRITONBACKEND_ModelInstance* instance) {
  return guarded([&] {
    void* state = nullptr;
    check(TRITONBACKEND_ModelInstanceState(instance, &state));
    delete static_cast<Executor*>(state);
  });
}

LAMELLA_TRITON_ENTRY TRITONBACKEND_ModelInstanceExecute(TRITONBACKEND_ModelInstance* instance, TRITONBACKEND_Request** requests,
                                                        std::uint32_t count) {
  return guarded([&] {
    void* state = nullptr;
    check(TRITONBACKEND_ModelInstanceState(instance, &state));
    static_cast<Executor*>(state)->execute({requests, count});
  });
}
