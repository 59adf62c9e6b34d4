// SPDX-License-Identifier: Apache-2.0
#include <algorithm>

#include "world.hpp"

namespace fake_cuda::inside {
namespace {

void give_branches(Exec& exec) {
  std::size_t lanes = 1;
  for (const Node& node : exec.nodes) lanes = std::max(lanes, node.lane + 1);
  while (exec.branches.size() + 1 < lanes) {
    auto branch = make_stream(exec.device, cudaStreamNonBlocking);
    branch->hidden = true;
    exec.branches.push_back(std::move(branch));
  }
}

cudaError_t instantiate(cudaGraphExec_t* handle, cudaGraph_t graph_handle) {
  if (handle == nullptr) return cudaErrorInvalidValue;
  *handle = nullptr;
  const auto graph = world().graphs.find(graph_handle);
  if (!graph) {
    misuse("cudaGraphInstantiate of a graph that does not exist (any more)");
    return cudaErrorInvalidValue;
  }
  auto exec = std::make_shared<Exec>();
  exec->nodes = graph->nodes;
  exec->kept = graph->kept;
  exec->device = thread().device;
  give_branches(*exec);
  *handle = world().execs.add(std::move(exec));
  return cudaSuccess;
}

/// Enqueues nodes of the first lane on `stream`, the others on branches, all after earlier work of `stream` and the graph's
/// previous launch.
cudaError_t launch(Exec& exec, const StreamPtr& stream) {
  if (const auto error = check_not_captured(*stream, "cudaGraphLaunch")) return error;
  std::vector<TokenPtr> start;
  if (exec.last) start.push_back(exec.last);
  TokenPtr begin;
  if (const auto error = enqueue(stream, {.name = "cudaGraphLaunch"}, start, &begin)) return error;

  std::vector<TokenPtr> tokens;
  for (const Node& node : exec.nodes) {
    std::vector<TokenPtr> after;
    for (const auto index : node.after) after.push_back(tokens[index]);
    if (after.empty()) after.push_back(begin);
    tokens.emplace_back();
    const auto& lane = node.lane == 0 ? stream : exec.branches[node.lane - 1];
    if (const auto error = enqueue(lane, node.work, after, &tokens.back())) return error;
  }
  return enqueue(stream, {.name = "end of a graph"}, tokens, &exec.last);
}

template <typename T, typename Public>
cudaError_t drop(const char* name, Table<T, Public>& table, Public handle) {
  return call(name, Kind::release, [&] {
    if (table.remove(handle)) return cudaSuccess;
    misuse(std::string(name) + " of an object that does not exist (any more)");
    return cudaErrorInvalidValue;
  });
}

}  // namespace

UserObject::~UserObject() {
  if (destroy == nullptr) return;
  in_host_function() = true;
  destroy(data);
  in_host_function() = false;
}

}  // namespace fake_cuda::inside

using namespace fake_cuda::inside;

extern "C" {

cudaError_t cudaGraphInstantiate(cudaGraphExec_t* exec, cudaGraph_t graph, unsigned long long) {
  return call("cudaGraphInstantiate", Kind::allocate, [&] { return instantiate(exec, graph); });
}

cudaError_t cudaGraphDestroy(cudaGraph_t graph) { return drop("cudaGraphDestroy", world().graphs, graph); }
cudaError_t cudaGraphExecDestroy(cudaGraphExec_t exec) {
  return call("cudaGraphExecDestroy", Kind::release, [&] {
    const auto found = world().execs.remove(exec);
    if (!found) {
      misuse("cudaGraphExecDestroy of an object that does not exist (any more)");
      return cudaErrorInvalidValue;
    }
    // What it keeps is released when its last launch is done; the double runs that now.
    if (!found->kept.empty()) synchronize(found->last);
    return cudaSuccess;
  });
}

cudaError_t cudaUserObjectCreate(cudaUserObject_t* object, void* data, cudaHostFn_t destroy, unsigned count, unsigned flags) {
  return call("cudaUserObjectCreate", Kind::allocate, [&] {
    if (object == nullptr || destroy == nullptr || count != 1 || flags != cudaUserObjectNoDestructorSync)
      return cudaErrorInvalidValue;  // other flags are not modelled
    *object = world().user_objects.add(std::make_shared<UserObject>(data, destroy));
    return cudaSuccess;
  });
}

cudaError_t cudaUserObjectRelease(cudaUserObject_t object, unsigned) {
  return drop("cudaUserObjectRelease", world().user_objects, object);
}

/// Moves the caller's reference to the graph.
cudaError_t cudaGraphRetainUserObject(cudaGraph_t graph, cudaUserObject_t object, unsigned count, unsigned flags) {
  return call("cudaGraphRetainUserObject", Kind::plain, [&] {
    const auto found = world().graphs.find(graph);
    if (!found || count != 1 || flags != cudaGraphUserObjectMove) return cudaErrorInvalidValue;
    auto moved = world().user_objects.remove(object);
    if (!moved) return cudaErrorInvalidValue;
    found->kept.push_back(std::move(moved));
    return cudaSuccess;
  });
}

cudaError_t cudaGraphLaunch(cudaGraphExec_t handle, cudaStream_t stream_handle) {
  return call("cudaGraphLaunch", Kind::plain, [&] {
    const auto exec = world().execs.find(handle);
    if (!exec) misuse("cudaGraphLaunch of an executable graph that does not exist (any more)");
    const auto stream = find_stream(stream_handle);
    return exec && stream ? launch(*exec, stream) : cudaErrorInvalidResourceHandle;
  });
}

}  // extern "C"
