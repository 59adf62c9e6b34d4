// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <algorithm>
#include <cstring>
#include <string>
#include <string_view>
#include <type_traits>
#include <utility>
#include <vector>

#include <gmock/gmock.h>

#include "tests/ptx/ptx.hpp"

namespace ptx::test {

/// A module with one kernel, `k`, of pointers and what they point to; registers of every kind are declared.
inline std::string kernel_of(std::string_view body, int pointers, std::string_view declarations = "") {
  std::string text = ".version 9.0\n.target sm_90\n.address_size 64\n" + std::string(declarations) + "\n.visible .entry k(";
  for (int i = 0; i < pointers; ++i) text += std::string(i > 0 ? ",\n" : "\n") + ".param .u64 p" + std::to_string(i);
  text +=
      "\n)\n{\n.reg .pred %p<20>;\n.reg .b16 %rs<20>;\n.reg .b32 %r<40>;\n.reg .f32 %f<20>;\n.reg .b64 %rd<40>;\n.reg .f64 "
      "%fd<20>;\n";
  for (int i = 0; i < pointers; ++i) {
    const std::string n = std::to_string(i);
    text += "ld.param.u64 %rd3" + n + ", [p" + n + "];\ncvta.to.global.u64 %rd3" + n + ", %rd3" + n + ";\n";
  }
  return text + std::string(body) + "\nret;\n}\n";
}

inline std::vector<unsigned char> parameters_of(std::initializer_list<const void*> pointers) {
  std::vector<unsigned char> bytes(pointers.size() * sizeof(void*));
  std::size_t at = 0;
  for (const void* pointer : pointers) {
    std::memcpy(bytes.data() + at, &pointer, sizeof(pointer));
    at += sizeof(pointer);
  }
  return bytes;
}

/// The results of an instruction with one or more operands of a type, one lane each: `instruction` contains $d, and $a, $b, $c.
template <typename R, typename... T>
std::vector<R> evaluate_as(Launch how, std::string instruction, const std::vector<T>&... operands) {
  const auto registers = [](auto value) {
    using V = decltype(value);
    if constexpr (std::is_same_v<V, float>) return std::pair<std::string, std::string>{"%f", "f32"};
    if constexpr (std::is_same_v<V, double>) return std::pair<std::string, std::string>{"%fd", "f64"};
    if constexpr (sizeof(V) == 8) return std::pair<std::string, std::string>{"%rd", "b64"};
    if constexpr (sizeof(V) == 4) return std::pair<std::string, std::string>{"%r", "b32"};
    return std::pair<std::string, std::string>{"%rs", "b16"};
  };
  std::string body = "mov.u32 %r1, %tid.x;\n";
  int number = 2;
  MemoryMap memory;
  std::size_t count = 0;
  const auto bring = [&](const auto& values) {
    const auto [prefix, type] = registers(values[0]);
    const std::string reg = prefix + std::to_string(number);
    const std::string address = "%rd" + std::to_string(20 + number);
    body += "mul.wide.u32 " + address + ", %r1, " + std::to_string(sizeof(values[0])) + ";\nadd.s64 " + address + ", " + address +
            ", %rd3" + std::to_string(number - 1) + ";\nld.global." + type + " " + reg + ", [" + address + "];\n";
    const std::string name = std::string("$") + static_cast<char>('a' + number - 2);
    for (std::size_t at = instruction.find(name); at != std::string::npos; at = instruction.find(name))
      instruction.replace(at, 2, reg);
    memory.add(values.data(), values.size() * sizeof(values[0]), "operand", MemoryMap::Access::read);
    count = values.size();
    ++number;
  };
  (bring(operands), ...);
  const auto [prefix, type] = registers(R{});
  const std::string result = prefix + "10";
  for (std::size_t at = instruction.find("$d"); at != std::string::npos; at = instruction.find("$d"))
    instruction.replace(at, 2, result);
  body += instruction + "\nmul.wide.u32 %rd11, %r1, " + std::to_string(sizeof(R)) +
          ";\nadd.s64 %rd11, %rd11, %rd30;\nst.global." + type + " [%rd11], " + result + ";\n";
  std::vector<R> results(count);
  memory.add(results.data(), count * sizeof(R), "results");
  const Module module = Module::parse(kernel_of(body, static_cast<int>(sizeof...(T)) + 1));
  const std::vector<unsigned char> parameters = parameters_of({results.data(), operands.data()...});
  how.block = {static_cast<unsigned>(count), 1, 1};
  how.parameters = parameters;
  for (const Finding& finding : launch(module, "k", how, memory)) ADD_FAILURE() << finding;
  return results;
}

template <typename R, typename... T>
std::vector<R> evaluate(std::string instruction, const std::vector<T>&... operands) {
  return evaluate_as<R>({}, std::move(instruction), operands...);
}

MATCHER_P(FaultIs, fault, "") { return arg.fault == fault; }

}  // namespace ptx::test
