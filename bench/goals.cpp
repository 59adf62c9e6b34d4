// SPDX-License-Identifier: Apache-2.0
// Measures the goals for a GPU as ratios inside one run. Prints JSON with every measured cell and, for each goal, the goal, the
// worst cell and how many cells met it. Goals: `replay`, microseconds per layer of a small model's graph; `elementwise`, the
// share of a copy's bandwidth; `fused`, one pass after the product against two; `automatic`, the library's choice of an engine
// against the best engine; `one_row`, a call of a wider model; `any_activation`, a layer against the same one without an
// activation; `stack`, a model whose layers may run together against one whose layers run one by one. Cells without time count as
// skipped. Exit status: 0 measured (met or not), 1 an answer was wrong and not timed, or an error ended the run, 5 no GPU.
// Usage: goals [--device cuda:0] [--seconds 300] [--driver FILE] [--small]     small: tiny sizes, to see that it works
#include <algorithm>
#include <array>
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <lamella/lamella.hpp>
#include <nlohmann/json.hpp>
#include <thread>
#include <utility>

#include "cli/bench/check.hpp"
#include "cli/bench/cuda_clock.hpp"
#include "cli/bench/grid.hpp"
#include "cli/bench/measure.hpp"
#include "cli/bench/subject.hpp"
#include "goals.hpp"

namespace {

using namespace lamella;
using namespace lamella::bench;
using Json = nlohmann::ordered_json;

struct Sizes {
  std::vector<std::int64_t> batches{1, 64, 1024, 16384};
  std::vector<std::int64_t> widths{64, 256, 1024, 4096};
  std::vector<std::int64_t> model_widths{64, 128, 256};
  std::int64_t replay_width = 256;
  std::int64_t one_row_width = 512;
};

constexpr std::array kDTypes{DType::float32, DType::bfloat16, DType::float16};

/// A row of values in host memory.
Tensor row_of(const Tensor& flat, std::int64_t row, std::int64_t width) {
  const auto* const first =
      static_cast<const std::byte*>(flat.data()) + static_cast<std::size_t>(row * width) * size_of(flat.dtype());
  return Tensor::copy_of(TensorView(first, {1, width}, flat.dtype(), flat.device())).to(Device::cpu());
}

class Goals {
 public:
  Goals(Device device, const std::string& driver, double seconds, bool small)
      : device_(device), clock_(make_cuda_clock(device.index(), driver)), seconds_(seconds) {
    if (small) sizes_ = {{1, 5}, {4, 19}, {8}, 8, 12};
    settings_.candidate_us = small ? 1 : 15e3;
    settings_.sample_us = small ? 1 : 500;
    settings_.least_samples = small ? 3 : 7;
    settings_.fewest_samples = 3;
    settings_.most_samples = small ? 3 : 51;
  }

  /// Measures. What was measured before an error is kept.
  Json run() {
    std::string failed;
    try {
      measure_all();
    } catch (const std::exception& error) {
      failed = error.what();
      std::fprintf(stderr, "goals: %s\n", error.what());
    }
    Json goals = Json::array();
    for (const Goal& goal : kGoals) goals.push_back(verdict(goal));
    return {{"device", to_string(device_)},
            {"seconds", elapsed()},
            {"wrong", wrong_},
            {"failed", failed},
            {"goals", goals},
            {"cells", cells_}};
  }

 private:
  struct Way {
    std::string engine;  ///< empty: the library's choice
    std::unique_ptr<Model> model;
  };

  void measure_all() {
    for (const DType dtype : kDTypes) {
      replay(kReplay, sizes_.replay_width, dtype);
      replay(kOneRow, sizes_.one_row_width, dtype);
    }
    for (const DType dtype : kDTypes) {
      for (const std::int64_t width : sizes_.model_widths) stacks(width, dtype);
    }
    const std::int64_t widest = sizes_.widths.back();  // takes longer than all the others
    for (const std::int64_t width : sizes_.widths) {
      if (width != widest) layers(width);
    }
    for (const DType dtype : kDTypes) {
      memory_for(widest, dtype);
      elementwise(dtype);
    }
    for (const DType dtype : kDTypes) any_activation(dtype);
    layers(widest);
  }

  static double now() { return std::chrono::duration<double>(std::chrono::steady_clock::now().time_since_epoch()).count(); }
  [[nodiscard]] double elapsed() const { return now() - begin_; }
  static int threads() { return std::max(1, static_cast<int>(std::thread::hardware_concurrency())); }

  /// Whether there is time left; if not, counts the cells as skipped.
  bool begin(const Goal& goal, int cells = 1) {
    if (elapsed() < seconds_) return true;
    skipped_[goal.name] += cells;
    if (goal.name == std::string_view(kAutomatic.name)) skipped_[kFused.name] += cells;  // the same cells
    return false;
  }

  void add(const Goal& goal, double value, Json cell) {
    Json row{{"goal", goal.name}, {"value", value}, {"met", goal.met(value)}};
    row.update(cell);
    std::fprintf(stderr, "%s\n", row.dump().c_str());  // an interrupted run keeps its results so far
    cells_.push_back(std::move(row));
  }

  [[nodiscard]] Json verdict(const Goal& goal) {
    int cells = 0;
    int met = 0;
    Json worst;
    for (const Json& cell : cells_) {
      if (cell["goal"] != goal.name) continue;
      ++cells;
      met += cell["met"].get<bool>() ? 1 : 0;
      if (worst.is_null() || goal.better(worst["value"], cell["value"])) worst = cell;
    }
    return {{"goal", goal.name},
            {"unit", goal.unit},
            {goal.at_least ? "at_least" : "at_most", goal.wanted},
            {"cells", cells},
            {"met", met},
            {"worst", worst},
            {"skipped", skipped_[goal.name]}};
  }

  void layers(std::int64_t width) {
    for (const DType dtype : kDTypes) {
      memory_for(width, dtype);
      for (const char* activation : {"relu", "gelu", "tanh", "silu"}) layers(width, dtype, activation);
    }
  }

  void memory_for(std::int64_t width, DType dtype) {
    if (elapsed() >= seconds_) return;
    const Shape flat{sizes_.batches.back() * width};
    host_ = random_tensor(flat, dtype, 1);
    poison_ = Tensor(flat, dtype);
    poison(poison_);
    y_ = Tensor();
    x_ = host_.to(device_);
    y_ = poison_.to(device_);
  }

  /// On the first rows of the input and the output.
  [[nodiscard]] Call call_of(const Model& model, std::int64_t batch, std::int64_t width) {
    const Shape shape{batch, width};
    const TensorView src(std::as_const(x_).data(), shape, x_.dtype(), device_);
    const MutableTensorView dst(y_.data(), shape, y_.dtype(), device_);
    return [&model, src, dst, stream = clock_->stream()] { model.predict_into(src, dst, stream); };
  }

  /// Runs it once into poisoned memory and compares the first and the last row with plain loops in float64. If they differ,
  /// returns false and records it as wrong; it is then not timed, and the run continues.
  bool is_right(const std::string& what, const Subject& subject, const Model& reference, const Model& model) {
    const auto& [batch, width] = std::pair(subject.cell().batch, subject.cell().width);
    y_ = Tensor();
    y_ = poison_.to(device_);
    static_cast<void>(clock_->time(call_of(model, batch, width), 1));
    try {
      for (const std::int64_t row : {std::int64_t{0}, batch - 1}) {
        expect_right(what, row_of(y_, row, width), reference.predict(row_of(host_, row, width)), {0},
                     tolerance(y_.dtype(), width, subject.cell().depth));
      }
    } catch (const WrongResult& error) {
      std::fprintf(stderr, "goals: wrong: %s\n", error.what());
      wrong_.push_back(error.what());
      return false;
    }
    return true;
  }

  void replay(const Goal& goal, std::int64_t width, DType dtype) {
    const Cell cell{.level = Level::model, .width = width, .depth = 4, .dtype = dtype, .activation = "tanh"};
    if (!begin(goal)) return;
    const Subject subject(cell);
    Runnable runnable(subject, subject.compile({.device = device_}, threads()), clock_->stream());
    static_cast<void>(runnable.run_once(*clock_));
    const Timing timing = measure(*clock_, std::array{runnable.call()}, settings_)[0];
    add(goal, timing.median_us / (goal.name == std::string_view(kReplay.name) ? static_cast<double>(cell.depth) : 1),
        {{"dtype", to_string(dtype)},
         {"batch", 1},
         {"width", cell.width},
         {"layers", cell.depth},
         {"us", timing.median_us},
         {"spread", timing.spread},
         {"engines", runnable.explained().engines}});
  }

  /// Two models of one shape in turns.
  void compare(const Goal& goal, const Subject& subject, const Subject& base, Fusion fusion_of_base) {
    if (!begin(goal)) return;
    const Cell& cell = subject.cell();
    const Model model = subject.compile({.device = device_}, threads());
    const Model other = base.compile({.device = device_, .fusion = fusion_of_base}, threads());
    if (!is_right(goal.name, subject, subject.reference(threads()), model)) return;
    if (!is_right(goal.name, base, base.reference(threads()), other)) return;
    const std::vector<Timing> timings =
        measure(*clock_, std::array{call_of(model, cell.batch, cell.width), call_of(other, cell.batch, cell.width)}, settings_);
    add(goal, timings[0].median_us / timings[1].median_us,
        {{"dtype", to_string(*cell.dtype)},
         {"activation", cell.activation},
         {"batch", cell.batch},
         {"width", cell.width},
         {"layers", cell.depth},
         {"us", timings[0].median_us},
         {"base_us", timings[1].median_us},
         {"spread", timings[0].spread}});
  }

  void stacks(std::int64_t width, DType dtype) {
    memory_for(width, dtype);
    for (const std::int64_t batch : sizes_.batches) {
      const Subject subject(
          {.level = Level::model, .batch = batch, .width = width, .depth = 4, .dtype = dtype, .activation = "tanh"});
      compare(kStack, subject, subject, Fusion::epilogue);  // engines of several layers refuse a forced fusion
    }
  }

  void any_activation(DType dtype) {
    const std::int64_t width = sizes_.widths[sizes_.widths.size() / 2];
    memory_for(width, dtype);
    const auto layer = [&](std::string_view activation) {
      return Subject({.level = Level::layer,
                      .batch = sizes_.batches.back(),
                      .width = width,
                      .dtype = dtype,
                      .activation = std::string(activation)});
    };
    const Subject linear = layer("linear");
    for (const std::string_view activation : activation_names()) {
      if (activation == "threshold" || activation == "linear" || is_rowwise(activation_of(activation).kind)) continue;
      compare(kAnyActivation, layer(activation), linear, Fusion::automatic);
    }
  }

  void elementwise(DType dtype) {
    const auto bytes = static_cast<std::size_t>(2 * y_.shape().elements()) * size_of(dtype);
    double copy = 0;  // bytes per microsecond
    for (const std::string_view activation : activation_names()) {
      if (activation == "threshold" || activation == "linear") continue;  // one needs values, the other moves nothing
      if (is_rowwise(activation_of(activation).kind)) continue;
      if (!begin(kElementwise)) continue;
      if (copy == 0) copy = clock_->copy_rate(bytes);
      const Subject subject({.level = Level::activation,
                             .batch = sizes_.batches.back(),
                             .width = sizes_.widths.back(),
                             .dtype = dtype,
                             .activation = std::string(activation)});
      const Model model = subject.compile({.device = device_}, threads());
      if (!is_right(std::string(activation), subject, subject.reference(threads()), model)) continue;
      const Timing timing =
          measure(*clock_, std::array{call_of(model, subject.cell().batch, subject.cell().width)}, settings_)[0];
      const double rate = static_cast<double>(bytes) / timing.median_us;
      add(kElementwise, rate / copy,
          {{"dtype", to_string(dtype)},
           {"activation", activation},
           {"bytes", bytes},
           {"us", timing.median_us},
           {"spread", timing.spread},
           {"gb_per_s", rate * 1e-3},
           {"copy_gb_per_s", copy * 1e-3}});
    }
  }

  /// One kind of layer by the library's choice and by every engine that does not refuse, at every batch.
  void layers(std::int64_t width, DType dtype, const std::string& activation) {
    if (!begin(kAutomatic, static_cast<int>(sizes_.batches.size()))) return;
    const Subject subject(
        {.level = Level::layer, .batch = sizes_.batches.back(), .width = width, .dtype = dtype, .activation = activation});
    const Model reference = subject.reference(threads());
    std::vector<Way> ways;
    std::vector<std::string> engines{""};
    engines.insert(engines.end(), kCudaDenseEngines.begin(), kCudaDenseEngines.end());
    for (const std::string& engine : engines) {
      Way way{engine, std::make_unique<Model>(subject.compile({.device = device_, .engine = engine}, threads()))};
      try {
        if (is_right(engine + " " + activation, subject, reference, *way.model)) ways.push_back(std::move(way));
      } catch (const ArgumentError&) {
        if (engine.empty()) throw;  // a forced engine may refuse
      }
    }
    if (ways.size() < 2 || !ways[0].engine.empty()) return;  // the library's choice was wrong, or every engine to compare it with
    for (const std::int64_t batch : sizes_.batches) {
      if (begin(kAutomatic)) cell(subject.cell(), batch, ways);
    }
  }

  void cell(const Cell& kind, std::int64_t batch, const std::vector<Way>& ways) {
    std::vector<Call> calls;
    for (const Way& way : ways) calls.push_back(call_of(*way.model, batch, kind.width));
    const std::vector<Timing> timings = measure(*clock_, calls, settings_);
    Json us = Json::object();
    double best = 0;
    std::string best_engine;
    for (std::size_t i = 1; i < ways.size(); ++i) {
      const double time = timings[i].median_us;
      us[ways[i].engine] = time;
      if (best_engine.empty() || time < best) {
        best = time;
        best_engine = ways[i].engine;
      }
    }
    const auto steps = Json::parse(ways[0].model->explain({.batch = batch, .json = true}))["steps"];
    const Json about{{"dtype", to_string(*kind.dtype)},
                     {"activation", kind.activation},
                     {"batch", batch},
                     {"width", kind.width},
                     {"automatic_us", timings[0].median_us},
                     {"spread", timings[0].spread},
                     {"chosen", steps[0]["engine"]},
                     {"best", best_engine},
                     {"us", us}};
    add(kAutomatic, timings[0].median_us / best, about);
    if (us.contains("gemm_then_epilogue") && us.contains("gemm_bias_activation")) {
      add(kFused, us["gemm_then_epilogue"].get<double>() / us["gemm_bias_activation"].get<double>(),
          {{"dtype", to_string(*kind.dtype)}, {"activation", kind.activation}, {"batch", batch}, {"width", kind.width}});
    }
  }

  Device device_;
  std::unique_ptr<Clock> clock_;
  double seconds_;
  double begin_ = now();
  Sizes sizes_;
  Settings settings_;
  Tensor host_, poison_, x_, y_;
  Json wrong_ = Json::array();
  Json cells_ = Json::array();
  std::map<std::string, int> skipped_;
};

}  // namespace

int main(int argc, char** argv) {
  std::string device = "cuda:0";
  std::string driver = "libcuda.so.1";
  double seconds = 300;
  bool small = false;
  for (int i = 1; i < argc; ++i) {
    const std::string_view word = argv[i];
    const bool more = i + 1 < argc;
    if (word == "--small") {
      small = true;
    } else if (word == "--device" && more) {
      device = argv[++i];
    } else if (word == "--driver" && more) {
      driver = argv[++i];
    } else if (word == "--seconds" && more) {
      seconds = std::atof(argv[++i]);
    } else {
      std::fprintf(stderr, "usage: goals [--device cuda:0] [--seconds 300] [--driver FILE] [--small]\n");
      return 2;
    }
  }
  try {
    if (const std::string why = why_no_cuda(); !why.empty()) throw DeviceError(ErrorCode::device, why);
    const Json result = Goals(Device::parse(device), driver, seconds, small).run();
    print(result);
    tell(result["goals"]);
    return result["wrong"].empty() && result["failed"] == "" ? 0 : 1;
  } catch (const DeviceError& error) {
    std::fprintf(stderr, "goals: not measured: %s\n", error.what());
    return 5;
  } catch (const std::exception& error) {
    std::fprintf(stderr, "goals: %s\n", error.what());
    return 1;
  }
}
