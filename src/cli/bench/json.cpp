// SPDX-License-Identifier: Apache-2.0
#include <nlohmann/json.hpp>

#include "cli/bench/output.hpp"
#include "core/format.hpp"

namespace lamella::bench {
namespace {

using Json = nlohmann::ordered_json;

#ifdef NDEBUG
constexpr const char* kBuildType = "release";
#else
constexpr const char* kBuildType = "debug";
#endif

Json or_null(const std::optional<double>& value) { return value ? Json(*value) : Json(nullptr); }

Json histogram_of(const Percentiles& calls) {
  return {{"edges_us", calls.histogram.edges_us}, {"counts", calls.histogram.counts}};
}

Json caches_of(const Machine& machine) {
  Json caches = Json::array();
  for (const Cache& cache : machine.caches) {
    caches.push_back({{"type", cache.type}, {"level", cache.level}, {"size", cache.bytes}, {"num_sharing", cache.sharing}});
  }
  return caches;
}

Json ceilings_of(const std::map<std::string, Ceilings>& devices) {
  Json result = Json::object();
  for (const auto& [device, ceilings] : devices) {
    Json copies = Json::array();
    for (const auto& copy : ceilings.copies) copies.push_back({{"bytes", copy.bytes}, {"gb_per_s", copy.rate * 1e-3}});
    Json products = Json::object();
    for (const auto& [dtype, rate] : ceilings.products) products[std::string(to_string(dtype))] = rate * 1e-3;
    result[device] = {
        {"copies", copies}, {"product_gflop_per_s", products}, {"launch_us", ceilings.launch_us}, {"call_us", ceilings.call_us}};
  }
  return result;
}

Json context_of(const Report& report) {
  const Machine& machine = report.machine;
  return {{"date", report.date},
          {"executable", "lamella bench"},
          {"num_cpus", machine.processors},
          {"mhz_per_cpu", machine.mhz},
          {"caches", caches_of(machine)},
          {"load_avg", {report.load_before, report.load_after}},
          {"library_build_type", kBuildType},
          {"lamella_version", report.version},
          {"fingerprint", machine.fingerprint()},
          {"cpu", machine.cpu},
          {"cpu_device", report.cpu_device},
          {"simd", machine.simd},
          {"memory_gb", machine.memory_gb},
          {"system", machine.kernel},
          {"compiler", machine.compiler},
          {"threads", report.threads},
          {"spread_limit", report.settings.spread_limit},
          {"cold_spread_limit", report.settings.cold_spread_limit},
          {"others_limit", report.settings.others_limit},
          {"why_no_cuda", report.why_no_cuda},
          {"gpu", report.gpu.empty() ? Json(nullptr) : Json(report.gpu)},
          {"ceilings", ceilings_of(report.ceilings)}};
}

void add_cell(Json& json, const Row& row) {
  const Cell& cell = row.cell;
  json["level"] = to_string(cell.level);
  json["model"] = cell.file.empty() ? Json(nullptr) : Json(cell.file.substr(cell.file.find_last_of('/') + 1));
  json["sweep"] = cell.sweep.empty() ? Json(nullptr) : Json(cell.sweep);
  json["batch"] = cell.batch;
  const bool ours = cell.file.empty();
  json["width"] = ours ? Json(cell.width) : Json(nullptr);
  json["depth"] = ours ? Json(cell.depth) : Json(nullptr);
  json["activation"] = ours ? Json(cell.activation) : Json(nullptr);
  json["dtype"] = cell.dtype ? Json(to_string(*cell.dtype)) : Json(nullptr);
  json["device"] = to_string(row.way.device);
  json["engine"] = row.way.engine.empty() ? "automatic" : row.way.engine;
  json["fusion"] = to_string(row.way.fusion);
  json["graph"] = row.way.device.is_cuda() ? Json(row.way.graphs) : Json(nullptr);
  json["cache"] = row.cold ? "cold" : "warm";
}

void add_result(Json& json, const Row& row) {
  const Timing& timing = *row.timing;
  json["engine_ran"] = row.engine;
  json["fused"] = row.fused;
  json["min_us"] = timing.min_us;
  json["spread"] = timing.spread;
  json["samples"] = timing.samples;
  json["speedup"] = or_null(row.speedup);
  json["bytes"] = row.bytes;
  json["flops"] = row.flops;
  json["gb_per_s"] = row.bytes / timing.median_us * 1e-3;
  json["gflop_per_s"] = row.flops / timing.median_us * 1e-3;
  json["floor_us"] = row.floor_us;
  json["fraction_of_floor"] = row.floor_us / timing.median_us;
  json["bound_by"] = row.bound_by;
  json["predicted_us"] = or_null(row.predicted_us);
  if (timing.percentiles) {
    json["p50_us"] = timing.percentiles->p50_us;
    json["p90_us"] = timing.percentiles->p90_us;
    json["p99_us"] = timing.percentiles->p99_us;
    json["calls_timed"] = timing.percentiles->calls;
    json["histogram"] = histogram_of(*timing.percentiles);
  }
  json["load"] = row.load;
  json["others"] = row.others;
}

Json row_of(const Row& row) {
  const std::string name = row_name(row);
  const Timing timing = row.timing.value_or(Timing{});
  Json json{{"name", name},
            {"run_name", name},
            {"run_type", "iteration"},
            {"repetitions", 1},
            {"repetition_index", 0},
            {"threads", row.threads},
            {"iterations", timing.samples * timing.calls},
            {"real_time", timing.median_us},
            {"cpu_time", timing.cpu_us},
            {"time_unit", "us"}};
  if (!row.error.empty()) {
    json["error_occurred"] = true;
    json["error_message"] = row.error;
  }
  if (!row.warning.empty()) json["warning"] = row.warning;
  add_cell(json, row);
  if (row.timing) {
    add_result(json, row);
  } else {
    for (const char* field : {"speedup", "floor_us", "fraction_of_floor", "bound_by", "predicted_us"}) json[field] = nullptr;
  }
  return json;
}

Json throughput_of(const Throughput& one) {
  const std::string file = one.cell.file.substr(one.cell.file.find_last_of('/') + 1);
  const std::string name =
      core::format("throughput/{}/batch:{}/{}/callers:{}", file, one.cell.batch, to_string(one.device), one.callers);
  return {{"name", name},
          {"run_name", name},
          {"run_type", "iteration"},
          {"repetitions", 1},
          {"repetition_index", 0},
          {"threads", one.callers},
          {"iterations", one.latency.calls},
          {"real_time", one.latency.p50_us},
          {"cpu_time", one.latency.p50_us},
          {"time_unit", "us"},
          {"level", "throughput"},
          {"model", file},
          {"batch", one.cell.batch},
          {"device", to_string(one.device)},
          {"callers", one.callers},
          {"rows_per_s", one.rows_per_s},
          {"p50_us", one.latency.p50_us},
          {"p90_us", one.latency.p90_us},
          {"p99_us", one.latency.p99_us},
          {"histogram", histogram_of(one.latency)},
          {"others", one.others}};
}

}  // namespace

std::string json_of(const Report& report) {
  constexpr auto kReplace = Json::error_handler_t::replace;
  std::string rows;  // one per line, because results are stored in git and read as diffs
  const auto add = [&](const Json& row) { rows += (rows.empty() ? "\n" : ",\n") + row.dump(-1, ' ', true, kReplace); };
  for (const Row& row : report.rows) add(row_of(row));
  for (const Throughput& one : report.throughputs) add(throughput_of(one));
  return "{\"context\":\n" + context_of(report).dump(1, ' ', true, kReplace) + ",\n\"benchmarks\": [" + rows + "\n]}\n";
}

}  // namespace lamella::bench
