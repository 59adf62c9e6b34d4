// SPDX-License-Identifier: Apache-2.0
#include "request.hpp"

#include <algorithm>
#include <string>

namespace lamella::triton {
namespace {

void expect_shape(std::span<const std::int64_t> shape, const Port& port, const std::string& where) {
  std::vector<std::int64_t> allowed = port.sample;
  allowed.insert(allowed.begin(), -1);
  const bool fits =
      std::equal(shape.begin(), shape.end(), allowed.begin(), allowed.end(),
                 [](std::int64_t got, std::int64_t of_model) { return got >= 1 && (of_model == -1 || got == of_model); });
  if (!fits) refuse(where + "shape: got " + text_of(shape) + ", the model takes " + text_of(allowed) + " [E_SHAPE]");
}

std::vector<std::span<const std::byte>> pieces_of(TRITONBACKEND_Input* input, std::uint32_t count, const std::string& where) {
  std::vector<std::span<const std::byte>> pieces;
  for (std::uint32_t i = 0; i < count; ++i) {
    const void* data = nullptr;
    std::uint64_t bytes = 0;
    TRITONSERVER_MemoryType memory = TRITONSERVER_MEMORY_CPU;
    std::int64_t memory_id = 0;
    check(TRITONBACKEND_InputBuffer(input, i, &data, &bytes, &memory, &memory_id));
    if (memory == TRITONSERVER_MEMORY_GPU) {
      throw Failure(TRITONSERVER_ERROR_UNSUPPORTED, where + "it lies in GPU memory; allowed is host memory [E_DEVICE]");
    }
    pieces.emplace_back(static_cast<const std::byte*>(data), bytes);
  }
  return pieces;
}

/// A byte other than 0 and 1 is not a bool: reading it as one is undefined behaviour.
void expect_bools(std::span<const std::byte> piece, const std::string& where) {
  if (std::any_of(piece.begin(), piece.end(), [](std::byte value) { return value > std::byte{1}; }))
    refuse(where + "a byte of it is neither 0 nor 1 [E_VALUE]");
}

InputValues read_input(TRITONBACKEND_Request* request, const Port& port) {
  const std::string where = "input '" + port.name + "': ";
  TRITONBACKEND_Input* input = nullptr;
  const ErrorHandle missing(TRITONBACKEND_RequestInput(request, port.name.c_str(), &input));
  if (missing != nullptr) refuse(where + "the request has none [E_MISSING]");
  TRITONSERVER_DataType type = TRITONSERVER_TYPE_INVALID;
  const std::int64_t* shape = nullptr;
  std::uint32_t rank = 0;
  std::uint64_t bytes = 0;
  std::uint32_t count = 0;
  check(TRITONBACKEND_InputProperties(input, nullptr, &type, &shape, &rank, &bytes, &count));
  if (type != port.type.triton) {
    refuse(where + "datatype: got " + TRITONSERVER_DataTypeString(type) + ", the model takes " + std::string(port.type.name) +
           " [E_DTYPE]");
  }
  InputValues values{{shape, rank}, pieces_of(input, count, where)};
  expect_shape(values.shape, port, where);
  std::size_t given = 0;
  for (const auto& piece : values.pieces) given += piece.size();
  const std::size_t needed = bytes_of(values.shape, port.type);
  if (given != needed) {
    refuse(where + "got " + std::to_string(given) + " bytes, its shape has " + std::to_string(needed) + " [E_SHAPE]");
  }
  if (port.type.lamella == LAMELLA_BOOL) {
    for (const auto& piece : values.pieces) expect_bools(piece, where);
  }
  return values;
}

std::vector<std::size_t> asked_for(TRITONBACKEND_Request* request, const std::vector<Port>& ports) {
  std::uint32_t count = 0;
  check(TRITONBACKEND_RequestOutputCount(request, &count));
  std::vector<std::size_t> outputs;
  for (std::uint32_t i = 0; i < count; ++i) {
    const char* name = nullptr;
    check(TRITONBACKEND_RequestOutputName(request, i, &name));
    const auto found = std::find_if(ports.begin(), ports.end(), [&](const Port& port) { return port.name == name; });
    if (found == ports.end()) refuse("output '" + std::string(name) + "': the model has none of that name [E_VALUE]");
    outputs.push_back(static_cast<std::size_t>(found - ports.begin()));
  }
  return outputs;
}

}  // namespace

void Request::read(const Ports& ports) {
  inputs.clear();
  for (const Port& port : ports.inputs) {
    inputs.push_back(read_input(handle, port));
    if (inputs.back().shape[0] != inputs.front().shape[0]) {
      refuse("input '" + port.name + "': got " + std::to_string(inputs.back().shape[0]) + " rows, input '" +
             ports.inputs[0].name + "' has " + std::to_string(inputs.front().shape[0]) + " [E_SHAPE]");
    }
  }
  rows = inputs.front().shape[0];
  outputs = asked_for(handle, ports.outputs);
}

bool have_same_samples(const Request& a, const Request& b) {
  return std::equal(a.inputs.begin(), a.inputs.end(), b.inputs.begin(), b.inputs.end(),
                    [](const InputValues& x, const InputValues& y) { return std::ranges::equal(x.sample(), y.sample()); });
}

std::size_t bytes_of(std::span<const std::int64_t> shape, const ElementType& type) {
  std::size_t bytes = type.bytes;
  for (const std::int64_t extent : shape) {
    if (extent < 0 || __builtin_mul_overflow(bytes, static_cast<std::size_t>(extent), &bytes))
      refuse("an array of shape " + text_of(shape) + " has more bytes than memory [E_OVERFLOW]");
  }
  return bytes;
}

}  // namespace lamella::triton
