// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <memory>

#include <cuda_runtime_api.h>

/// What graphs of callers keep alive. Who destroys a graph may be a thread that must not call CUDA, so what the graph kept is put
/// aside there and let go at a later call.
namespace lamella::cuda {

/// Ties `what` to a graph and the executable graphs made of it, until the last is gone and has run. Throws std::bad_alloc,
/// DeviceError.
void keep_with(cudaGraph_t graph, std::shared_ptr<const void> what, int device);
/// Lets go of what graphs that are gone have kept. Cheap where there is nothing.
void release_retired() noexcept;

}  // namespace lamella::cuda
