// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <memory>

#include <cuda_runtime_api.h>

/// Objects that callers' graphs own. The destructor callback must not call CUDA, so it only queues the object, and a later call
/// releases it.
namespace lamella::cuda {

/// Makes a graph, and the executable graphs made from it, own `what` until the last has been destroyed and has finished. Throws
/// std::bad_alloc, DeviceError.
void keep_with(cudaGraph_t graph, std::shared_ptr<const void> what, int device);
/// Releases the objects of destroyed graphs. Cheap if there are none.
void release_retired() noexcept;

}  // namespace lamella::cuda
