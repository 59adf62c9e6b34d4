// SPDX-License-Identifier: Apache-2.0
// info: the devices on which models can run, and the resources of this machine that they may use.
#include <cstdint>
#include <memory>
#include <string>
#include <thread>
#include <vector>

#include "cli/verbs.hpp"
#include "core/format.hpp"
#include "core/isa.hpp"
#include "core/processors.hpp"

namespace lamella::cli {
namespace {

std::string isa_in_use() {
  const bool limited = core::best_isa() != core::machine_isa();
  return core::format("{}{}", to_string(core::best_isa()), limited ? ", limited by LAMELLA_MAX_CPU_ISA" : "");
}

struct Fact {
  const char* key;
  const char* label;
  std::string value;
  bool is_number = false;
};

std::vector<Fact> facts() {
  const int quota = core::quota_of_groups("/proc/self/cgroup", "/sys/fs/cgroup");
  const std::int64_t memory = core::memory_of_groups("/proc/self/cgroup", "/sys/fs/cgroup");
  return {
      {"processor", "processor", core::processor_name()},
      {"processors", "processors", core::format("{}", std::thread::hardware_concurrency()), true},
      {"usable_processors", "usable processors", core::format("{}", core::usable_processors()), true},
      {"cpu_quota", "CPU limit of the control group", quota == 0 ? "none" : core::format("{} processors' time", quota)},
      {"memory_limit", "memory limit of the control group", memory == 0 ? "none" : core::format("{} bytes", memory)},
      {"isa", "instruction set in use", isa_in_use()},
  };
}

void print_json(const std::vector<Device>& devices, const std::string& why) {
  std::string listed;
  std::string described;
  for (const Device device : devices) {
    const std::string name = json_text(to_string(device));
    const char* const before = listed.empty() ? "" : ", ";
    listed += before + name;
    described += before + name + ": " + json_text(describe(device));
  }
  std::string machine;
  for (const Fact& fact : facts()) {
    machine += (machine.empty() ? "\"" : ", \"") + std::string(fact.key) +
               "\": " + (fact.is_number ? fact.value : json_text(fact.value));
  }
  print(stdout, "{\"version\": " + json_text(LAMELLA_VERSION) + ", \"devices\": [" + listed + "], \"descriptions\": {" +
                    described + "}, \"machine\": {" + machine + "}, \"why_no_cuda\": " + json_text(why) + "}\n");
}

}  // namespace

Registered add_info(CLI::App& root) {
  auto json = std::make_shared<bool>(false);
  CLI::App* app = root.add_subcommand("info", "Print the version, the devices, this machine, and why CUDA is unusable if it is");
  app->add_flag("--json", *json, "print JSON");
  return {app, [json] {
            const std::vector<Device> devices = available_devices();
            const std::string why = why_no_cuda();
            if (*json) {
              print_json(devices, why);
              return kOk;
            }
            std::string text = core::format("lamella {}\ndevices:", LAMELLA_VERSION);
            for (const Device device : devices) text += " " + to_string(device);
            text += "\n";
            for (const Device device : devices) text += core::format("{}: {}\n", to_string(device), describe(device));
            for (const Fact& fact : facts()) text += core::format("{}: {}\n", fact.label, fact.value);
            print(stdout, text + (why.empty() ? "" : "CUDA: " + why + "\n"));
            return kOk;
          }};
}

}  // namespace lamella::cli
