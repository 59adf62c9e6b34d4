// SPDX-License-Identifier: Apache-2.0
// profile: where the time per call goes, step by step.
#include <algorithm>
#include <array>
#include <chrono>
#include <cmath>
#include <memory>
#include <nlohmann/json.hpp>
#include <random>

#include "cli/bench/ceilings.hpp"
#include "cli/bench/machine.hpp"
#include "cli/verbs.hpp"
#include "cli/words.hpp"
#include "core/counted.hpp"
#include "core/format.hpp"
#include "core/output_file.hpp"

namespace lamella::cli {
namespace {

struct ProfileState {
  std::string model;
  std::vector<std::string> inputs;
  std::int64_t batch = 32;
  double seconds = 1;
  bool json = false;
  bool floor = false;
  std::string trace;
  RunOptions run;
};

/// Random numbers from a normal distribution; integers are 0 and 1.
Tensor random_rows(const ArraySpec& spec, std::int64_t rows) {
  std::vector<std::int64_t> extents{rows};
  for (const std::int64_t extent : spec.sample) {
    if (extent < 0) {
      throw ArgumentError(
          ErrorCode::shape,
          core::format("profile: the model leaves the shape of '{}' open; give it rows to run on: --input FILE", spec.name));
    }
    extents.push_back(extent);
  }
  Tensor values{Shape(extents)};
  std::mt19937 random(1);
  std::normal_distribution<float> normal;
  for (float& value : values.span<float>()) value = is_floating(spec.dtype) ? normal(random) : static_cast<float>(random() % 2);
  return spec.dtype == DType::float32 ? std::move(values) : values.to(spec.dtype);
}

std::vector<Tensor> rows_for(const Model& model, const ProfileState& state) {
  const std::vector<ArraySpec> specs = inputs_of(model);
  std::vector<Tensor> result;
  if (!state.inputs.empty()) {
    result = open_inputs(state.inputs, specs, "--input", Header::automatic).next(state.batch, specs.size());
    for (std::size_t i = 0; i < specs.size(); ++i)
      if (result[i].dtype() != specs[i].dtype) result[i] = result[i].to(specs[i].dtype);
    return result;
  }
  for (const ArraySpec& spec : specs) result.push_back(random_rows(spec, state.batch));
  return result;
}

/// One model, called on the same arrays each time.
class Calls {
 public:
  Calls(const Model& model, const std::vector<Tensor>& inputs)
      : model_(model), srcs_(inputs.begin(), inputs.end()), outputs_(model_.predict(srcs_)) {
    for (Tensor& output : outputs_) dsts_.emplace_back(output);
  }
  double microseconds() const {
    const auto begin = std::chrono::steady_clock::now();
    model_.predict_into(srcs_, dsts_);
    return std::chrono::duration<double, std::micro>(std::chrono::steady_clock::now() - begin).count();
  }
  [[nodiscard]] const Model& model() const { return model_; }

 private:
  Model model_;
  std::vector<TensorView> srcs_;
  std::vector<Tensor> outputs_;
  std::vector<MutableTensorView> dsts_;
};

struct Quartiles {
  double low = 0;
  double median = 0;
  double high = 0;
};

Quartiles quartiles_of(std::vector<double>& times) {
  std::sort(times.begin(), times.end());
  const auto at = [&](std::size_t part) { return times[(times.size() - 1) * part / 4]; };
  return {at(1), at(2), at(3)};
}

struct StepRow {
  std::string op;
  std::string layers;
  std::string engine;
  double microseconds = 0;  ///< of a call
  double share = 0;
  bench::Work work;
  bench::Floor floor;  ///< with --floor
};

std::vector<StepRow> rows_of(const nlohmann::json& plan, double call_us) {
  double sum = 0;
  for (const auto& step : plan.at("steps")) sum += step.at("nanoseconds").get<double>();
  std::vector<StepRow> rows;
  for (const auto& step : plan.at("steps")) {
    StepRow row;
    for (const auto& layer : step.at("layers")) row.layers += (row.layers.empty() ? "" : " + ") + layer.get<std::string>();
    row.op = step.at("op").get<std::string>();
    row.engine = step.at("engine").get<std::string>();
    row.share = sum == 0 ? 0 : step.at("nanoseconds").get<double>() / sum;
    row.microseconds = row.share * call_us;
    row.work = {step.at("bytes").get<double>(), step.at("flops").get<double>()};
    rows.push_back(std::move(row));
  }
  return rows;
}

/// Measures what this machine can do, and gives each step its floor.
void add_floors(std::vector<StepRow>& rows, const Model& model, const Options& options) {
  const int threads = thread_count(options.threads);
  const std::size_t cache = bench::this_machine().largest_cache();
  bench::HostClock clock(cache, threads);
  const DType dtype = options.dtype.value_or(DType::float32);
  bench::Ceilings ceilings = bench::measure_ceilings(clock, model.device(), threads, cache);
  bench::measure_product(ceilings, clock, model.device(), threads, dtype);
  std::vector<bench::Work> steps;
  steps.reserve(rows.size());
  for (const StepRow& row : rows) steps.push_back(row.work);
  const std::vector<bench::Floor> floors = bench::floors_of(steps, ceilings, dtype, /*cold=*/false);
  for (std::size_t i = 0; i < rows.size(); ++i) rows[i].floor = floors[i];
}

std::string number(const char* format, double value) {
  std::array<char, 40> text{};
  static_cast<void>(std::snprintf(text.data(), text.size(), format, value));
  return text.data();
}

std::string table_of(const std::vector<StepRow>& rows, bool floor) {
  std::string text =
      std::string("   us a call  share  GFLOP/s    GB/s") + (floor ? "  floor us  bound by  " : "") + "  engine, step\n";
  for (const StepRow& row : rows) {
    const double rate = row.microseconds == 0 ? 0 : 1e-3 / row.microseconds;
    text += number("%12.3g", row.microseconds) + number(" %5.1f%%", 100 * row.share) + number("%9.3g", row.work.flops * rate) +
            number("%8.3g", row.work.bytes * rate);
    if (floor) {
      std::string bound_by = row.floor.bound_by;
      bound_by.resize(std::string_view("arithmetic").size(), ' ');
      text += number("%10.3g  ", row.floor.us) + bound_by;
    }
    text += core::format("  {}, {}  [{}]\n", row.engine, row.op, row.layers);
  }
  return text;
}

std::string json_of(const nlohmann::json& plan, const std::vector<StepRow>& rows, const Quartiles& call, std::size_t calls) {
  std::string steps;
  for (std::size_t i = 0; i < rows.size(); ++i) {
    const auto& step = plan.at("steps")[i];
    steps += core::format(
        R"({}{{"op": {}, "layers": {}, "engine": {}, "microseconds": {:.6g}, "share": {:.6g}, "flops": {}, "bytes": {})",
        i == 0 ? "\n  " : ",\n  ", step.at("op").dump(), step.at("layers").dump(), step.at("engine").dump(), rows[i].microseconds,
        rows[i].share, step.at("flops").dump(), step.at("bytes").dump());
    if (!rows[i].floor.bound_by.empty())
      steps +=
          core::format(R"(, "floor_microseconds": {:.6g}, "bound_by": {})", rows[i].floor.us, json_text(rows[i].floor.bound_by));
    steps += "}";
  }
  return core::format(R"({{"device": {}, "batch": {}, "calls": {},
 "microseconds": {{"median": {:.6g}, "lower_quartile": {:.6g}, "upper_quartile": {:.6g}}},
 "steps": [{}]}}
)",
                      plan.at("device").dump(), plan.at("batch").dump(), calls, call.median, call.low, call.high, steps);
}

/// The median call in the Trace Event Format: an event for the call, and in it one for each step, with the times of the table,
/// one after another. Viewers drop events that overlap, after cutting their times to nanoseconds: these are whole
/// nanoseconds, and each step ends one before the next begins.
std::string trace_of(const Model& model, const std::vector<StepRow>& rows, std::int64_t batch, double call_us) {
  using Json = nlohmann::json;
  const std::string size = core::counted(batch, "row");
  const auto event = [](const std::string& name, const char* kind, std::int64_t begin_ns, std::int64_t ns) {
    const auto us = [](std::int64_t nanoseconds) { return static_cast<double>(nanoseconds) / 1000; };
    return Json{{"name", name}, {"cat", kind}, {"ph", "X"}, {"ts", us(begin_ns)}, {"dur", us(ns)}, {"pid", 1}, {"tid", 1}};
  };
  Json events = Json::array();
  const auto label = [&](const char* what, const std::string& name) {
    events.push_back(Json{{"name", what}, {"ph", "M"}, {"pid", 1}, {"tid", 1}, {"args", {{"name", name}}}});
  };
  label("process_name", core::format("lamella {}: {}", LAMELLA_VERSION, model.name()));
  label("thread_name", core::format("{} on {}", size, to_string(model.device())));
  events.push_back(event("call, " + size, "call", 0, std::llround(1000 * call_us)));
  double at = 0;
  for (const StepRow& row : rows) {
    const std::int64_t begin = std::llround(1000 * at);
    at += row.microseconds;
    Json step = event(row.layers.empty() ? row.op : row.layers, "step", begin,
                      std::max<std::int64_t>(std::llround(1000 * at) - begin - 1, 0));
    step["args"] =
        Json{{"op", row.op}, {"engine", row.engine}, {"share", row.share}, {"flops", row.work.flops}, {"bytes", row.work.bytes}};
    if (!row.floor.bound_by.empty()) {
      step["args"]["floor_us"] = row.floor.us;
      step["args"]["bound_by"] = row.floor.bound_by;
    }
    events.push_back(std::move(step));
  }
  const Json trace{{"displayTimeUnit", "ns"},
                   {"otherData", {{"about", "medians of many calls, not a recording of one: its steps follow each other"}}},
                   {"traceEvents", std::move(events)}};
  return trace.dump(1, ' ', true, Json::error_handler_t::replace) + "\n";
}

void write_trace(const std::string& path, const std::string& text) {
  core::OutputFile file(path == "-" ? "/dev/fd/1" : path);
  file.write(text.data(), text.size());
  file.finish();
}

int run_profile(const ProfileState& state) {
  Options options = state.run.options();
  Model plain = load_model_for(state.inputs, state.model, "", options, Header::automatic);
  if (!plain.device().is_cpu()) {
    throw ArgumentError(
        ErrorCode::unsupported,
        "profile: steps are timed on the CPU (--device cpu); for a GPU, Options::profile makes Nsight Systems show them");
  }
  options.profile = true;
  const std::vector<Tensor> inputs = rows_for(plain, state);
  const std::int64_t rows = inputs.empty() || inputs[0].shape().rank() == 0 ? 0 : inputs[0].shape()[0];
  const Calls whole(plain, inputs);
  const Calls watched(load_model_for(state.inputs, state.model, "", options, Header::automatic), inputs);
  std::vector<double> times;
  constexpr std::size_t kLeast = 5;
  const auto end = std::chrono::steady_clock::now() + std::chrono::duration<double>(state.seconds);
  while (times.size() < kLeast ||
         std::chrono::steady_clock::now() < end) {  // alternating, so that both run under the same conditions
    times.push_back(whole.microseconds());
    static_cast<void>(watched.microseconds());
  }
  const Quartiles call = quartiles_of(times);
  const auto plan = nlohmann::json::parse(watched.model().explain({.batch = rows, .json = true}));
  if (rows == 0 || !plan.contains("runs")) throw ArgumentError(ErrorCode::shape, "profile: the input has no rows");
  std::vector<StepRow> steps = rows_of(plan, call.median);
  if (state.floor) add_floors(steps, whole.model(), state.run.options());
  if (!state.trace.empty()) write_trace(state.trace, trace_of(whole.model(), steps, rows, call.median));
  if (state.json) {
    print(stdout, json_of(plan, steps, call, times.size()));
    return kOk;
  }
  print(stdout, core::format("{}, {} on {}: {:.4g} us a call (quartiles {:.4g} and {:.4g}, {} calls)\n{}", whole.model().name(),
                             core::counted(rows, "row"), to_string(whole.model().device()), call.median, call.low, call.high,
                             times.size(), table_of(steps, state.floor)));
  return kOk;
}

}  // namespace

Registered add_profile(CLI::App& root) {
  auto state = std::make_shared<ProfileState>();
  CLI::App* app = root.add_subcommand("profile", "Measure how long each step of a call takes, on the CPU");
  add_model(*app, state->model);
  app->add_option("--batch", state->batch, "rows of a call")->capture_default_str()->type_name("N")->check(integer(1));
  add_files(*app, "-i,--input", state->inputs, "take the first rows of these files; default: random numbers");
  app->add_option("--seconds", state->seconds, "how long to measure")
      ->capture_default_str()
      ->type_name("NUMBER")
      ->check(positive());
  app->add_flag(
      "--floor", state->floor,
      "also print the least time that this machine's arithmetic and memory allow for each step; measuring that takes seconds");
  app->add_option("--trace", state->trace, "also write a trace for Perfetto or chrome://tracing")->type_name("FILE");
  app->add_flag("--json", state->json, "print JSON");
  state->run.add_to(*app);
  app->footer(
      "The time of a call is the median of calls that are not instrumented. A step's\n"
      "share is that of its fastest time in other calls, with a clock read between\n"
      "steps (if rows are cut into chunks, of one chunk); its time is this share of a\n"
      "call. GFLOP/s and GB/s are the step's arithmetic and the bytes of its operands\n"
      "over that time.\n\n"
      "  lamella profile model.keras --batch 64 --trace trace.json");
  return {app, [state] { return run_profile(*state); }};
}

}  // namespace lamella::cli
