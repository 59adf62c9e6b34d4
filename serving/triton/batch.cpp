// SPDX-License-Identifier: Apache-2.0
#include "batch.hpp"

#include <algorithm>
#include <chrono>
#include <cstdlib>
#include <cstring>
#include <new>
#include <string>
#include <utility>

namespace lamella::triton {
namespace {

constexpr std::size_t kAlignment = 64;

std::uint64_t now() {
  const auto since = std::chrono::steady_clock::now().time_since_epoch();
  return static_cast<std::uint64_t>(std::chrono::duration_cast<std::chrono::nanoseconds>(since).count());
}

bool is_aligned(const void* data, std::size_t to) { return reinterpret_cast<std::uintptr_t>(data) % to == 0; }

std::vector<std::int64_t> with_rows(std::int64_t rows, std::span<const std::int64_t> sample) {
  std::vector<std::int64_t> shape{rows};
  shape.insert(shape.end(), sample.begin(), sample.end());
  return shape;
}

lamella_tensor host_tensor(void* data, const ElementType& type, const std::vector<std::int64_t>& shape) {
  return {sizeof(lamella_tensor), data,    type.lamella, static_cast<std::int32_t>(shape.size()),
          shape.data(),           nullptr, LAMELLA_CPU,  0};
}

/// The memory to which the server wants an output of a request written. Throws Failure.
std::byte* place_of(const Request& request, const Port& port, const std::vector<std::int64_t>& shape) {
  TRITONBACKEND_Output* output = nullptr;
  check(TRITONBACKEND_ResponseOutput(request.response, &output, port.name.c_str(), port.type.triton, shape.data(),
                                     static_cast<std::uint32_t>(shape.size())));
  void* data = nullptr;
  TRITONSERVER_MemoryType memory = TRITONSERVER_MEMORY_CPU;
  std::int64_t memory_id = 0;
  check(TRITONBACKEND_OutputBuffer(output, &data, bytes_of(shape, port.type), &memory, &memory_id));
  if (memory == TRITONSERVER_MEMORY_GPU) {
    throw Failure(TRITONSERVER_ERROR_UNSUPPORTED,
                  "output '" + port.name + "': it is wanted in GPU memory; allowed is host memory [E_DEVICE]");
  }
  return static_cast<std::byte*>(data);
}

bool is_open(const Port& port) { return std::find(port.sample.begin(), port.sample.end(), -1) != port.sample.end(); }

/// Copies each request's rows of the outputs to the memory that the server names. A failure affects its request only.
void hand_out(std::span<Request* const> group, const std::vector<Port>& ports, std::span<const lamella_tensor> outputs) {
  std::int64_t done = 0;
  for (Request* const request : group) {
    request->error.reset(guarded([&] {
      for (const std::size_t i : request->outputs) {
        const lamella_tensor& from = outputs[i];
        const auto shape = with_rows(request->rows, {from.shape + 1, from.shape + from.ndim});
        const std::size_t bytes = bytes_of(shape, ports[i].type);
        const std::size_t row = bytes / static_cast<std::size_t>(request->rows);
        std::byte* const to = place_of(*request, ports[i], shape);
        if (bytes != 0) std::memcpy(to, static_cast<const std::byte*>(from.data) + static_cast<std::size_t>(done) * row, bytes);
      }
    }));
    done += request->rows;
  }
}

}  // namespace

std::byte* Scratch::at_least(std::size_t bytes) {
  if (bytes > bytes_ || data_ == nullptr) {
    data_.reset();
    bytes_ = 0;
    data_.reset(static_cast<std::byte*>(::operator new (std::max<std::size_t>(bytes, 1), std::align_val_t{kAlignment})));
    bytes_ = bytes;
  }
  return data_.get();
}

void Scratch::Free::operator()(std::byte* data) const noexcept { ::operator delete (data, std::align_val_t{kAlignment}); }

struct Executor::Times {
  std::uint64_t exec_start = now();
  std::uint64_t compute_start = exec_start;
  std::uint64_t compute_end = exec_start;
  std::uint64_t exec_end = exec_start;
};

Executor::Executor(TRITONBACKEND_ModelInstance* instance, std::shared_ptr<const Model> model)
    : instance_(instance),
      model_(std::move(model)),
      inputs_(model_->ports().inputs.size()),
      outputs_(model_->ports().outputs.size()),
      opens_(std::any_of(model_->ports().outputs.begin(), model_->ports().outputs.end(), is_open)) {}

void Executor::execute(std::span<TRITONBACKEND_Request* const> handles) {
  std::vector<Request> requests(handles.size());
  std::vector<Request*> group;
  group.reserve(handles.size());
  try {
    for (std::size_t i = 0; i < handles.size(); ++i) {
      requests[i].handle = handles[i];
      check(TRITONBACKEND_ResponseNew(&requests[i].response, handles[i]));
    }
  } catch (...) {
    for (const Request& request : requests) {
      if (request.response != nullptr) log_and_delete(TRITONBACKEND_ResponseDelete(request.response));
    }
    throw;
  }
  // From here on every request is answered and released, and nothing throws.
  for (Request& request : requests) request.error.reset(guarded([&] { request.read(model_->ports()); }));
  for (Request& first : requests) {
    if (first.handle == nullptr) continue;  // answered
    if (first.error != nullptr) {
      answer(first, {});
      continue;
    }
    group.clear();
    for (Request* other = &first; other != requests.data() + requests.size(); ++other) {
      if (other->handle != nullptr && other->error == nullptr && have_same_samples(first, *other)) group.push_back(other);
    }
    run(group);
  }
}

/// Answers requests whose rows make one batch.
void Executor::run(std::span<Request* const> group) noexcept {
  Times times;
  ErrorHandle error(guarded([&] { predict(group, times); }));
  if (error != nullptr && group.size() > 1) {  // if memory ran out, it may suffice for each alone
    for (Request* const request : group) run({&request, 1});
    return;
  }
  if (error != nullptr) group[0]->error = std::move(error);
  times.exec_end = now();
  std::uint64_t rows = 0;
  for (const Request* const request : group) rows += request->error == nullptr ? static_cast<std::uint64_t>(request->rows) : 0;
  if (rows != 0) {
    log_and_delete(TRITONBACKEND_ModelInstanceReportBatchStatistics(instance_, rows, times.exec_start, times.compute_start,
                                                                    times.compute_end, times.exec_end));
  }
  for (Request* const request : group) answer(*request, times);
}

/// Either throws before any request is answered, or not at all.
void Executor::predict(std::span<Request* const> group, Times& times) {
  const Ports& ports = model_->ports();
  std::int64_t rows = 0;
  for (const Request* const request : group) rows += request->rows;
  std::vector<std::vector<std::int64_t>> shapes(ports.inputs.size() + ports.outputs.size());
  std::vector<lamella_tensor> inputs;
  for (std::size_t i = 0; i < ports.inputs.size(); ++i) {
    shapes[i] = with_rows(rows, group[0]->inputs[i].sample());
    inputs.push_back(host_tensor(gathered(group, i, bytes_of(shapes[i], ports.inputs[i].type)), ports.inputs[i].type, shapes[i]));
  }
  if (opens_) {
    times.compute_start = now();
    const Results results = model_->predict(inputs);
    times.compute_end = now();
    hand_out(group, ports.outputs, results.tensors());
    return;
  }
  std::vector<lamella_tensor> outputs;
  for (std::size_t i = 0; i < ports.outputs.size(); ++i) {
    std::vector<std::int64_t>& shape = shapes[ports.inputs.size() + i];
    shape = with_rows(rows, ports.outputs[i].sample);
    outputs.push_back(host_tensor(outputs_[i].at_least(bytes_of(shape, ports.outputs[i].type)), ports.outputs[i].type, shape));
  }
  times.compute_start = now();
  model_->predict(inputs, outputs);
  times.compute_end = now();
  hand_out(group, ports.outputs, outputs);
}

/// One input of all requests as one block: the server's own memory if it is one already.
void* Executor::gathered(std::span<Request* const> group, std::size_t input, std::size_t bytes) {
  const auto& first = group[0]->inputs[input].pieces;
  if (group.size() == 1 && first.size() == 1 && is_aligned(first[0].data(), model_->ports().inputs[input].type.bytes))
    return const_cast<std::byte*>(first[0].data());  // the library never writes to an input
  std::byte* const all = inputs_[input].at_least(bytes);
  std::byte* next = all;
  for (const Request* const request : group) {
    for (const auto& piece : request->inputs[input].pieces) next = std::copy(piece.begin(), piece.end(), next);
  }
  return all;
}

void Executor::answer(Request& request, const Times& times) noexcept {
  TRITONBACKEND_Request* const handle = std::exchange(request.handle, nullptr);
  const bool good = request.error == nullptr;
  log_and_delete(TRITONBACKEND_ResponseSend(request.response, TRITONSERVER_RESPONSE_COMPLETE_FINAL, request.error.get()));
  log_and_delete(TRITONBACKEND_ModelInstanceReportStatistics(instance_, handle, good, times.exec_start, times.compute_start,
                                                             times.compute_end, times.exec_end));
  log_and_delete(TRITONBACKEND_RequestRelease(handle, TRITONSERVER_REQUEST_RELEASE_ALL));
}

}  // namespace lamella::triton
