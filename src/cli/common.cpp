// SPDX-License-Identifier: Apache-2.0
#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <fstream>
#include <lamella/architecture.hpp>
#include <nlohmann/json.hpp>

#include "cli/progress.hpp"
#include "cli/verbs.hpp"
#include "cli/words.hpp"
#include "core/format.hpp"
#include "core/processors.hpp"

namespace lamella::cli {
namespace {

const std::vector<std::string>& compute_types() {
  static const auto& words = *new std::vector<std::string>{"float32", "bfloat16", "float16", "float64"};
  return words;
}

std::vector<ArraySpec> specs(const std::vector<std::string>& names, const auto& sample_of, const auto& dtype_at) {
  std::vector<ArraySpec> result;
  for (std::size_t i = 0; i < names.size(); ++i)
    result.push_back({names[i], sample_of(static_cast<int>(i)), dtype_at(static_cast<int>(i))});
  return result;
}

constexpr std::int64_t kBatch = 4096;
constexpr std::size_t kBatchBytes = std::size_t{64} << 20U;  ///< for the inputs of a batch without a given size

std::int64_t batch_of(std::int64_t wanted, const Inputs& inputs) {
  const std::size_t row_bytes = inputs.row_bytes();
  if (row_bytes == 0) return std::max({wanted, inputs.rows(), kBatch});  // empty rows need not be divided
  if (wanted > 0) return wanted;
  return std::clamp<std::int64_t>(static_cast<std::int64_t>(kBatchBytes / row_bytes), 1, kBatch);
}

}  // namespace

void print(std::FILE* to, std::string_view text) {
  while (!text.empty()) {
    const std::size_t end = std::min(text.find('\n'), text.size());
    std::string line = printable(text.substr(0, end));
    if (end < text.size()) line += '\n';
    static_cast<void>(std::fwrite(line.data(), 1, line.size(), to));  // failures are detected when the stream is flushed
    text.remove_prefix(std::min(end + 1, text.size()));
  }
}

std::string json_text(const std::string& text) {
  return nlohmann::json(text).dump(-1, ' ', true, nlohmann::json::error_handler_t::replace);
}

void add_model(CLI::App& app, std::string& model, const char* what) {
  app.add_option("MODEL", model, what)->required()->type_name("FILE");
}

void add_weights(CLI::App& app, std::string& weights) {
  app.add_option("--weights", weights,
                 "a file of weights for the model: .weights.h5, .weights.json, .npz, .safetensors, or a whole model")
      ->type_name("FILE");
}

CLI::Option* add_files(CLI::App& app, const char* name, std::vector<std::string>& files, const char* what) {
  return app.add_option(name, files, what)->type_name("[NAME=]FILE")->allow_extra_args(false);
}

void add_header(CLI::App& app, std::string& header) {
  take_word(*app.add_option("--header", header, "whether the first line of a CSV file holds names; auto: yes if it has no number")
                 ->capture_default_str(),
            {"auto", "yes", "no"});
}

Header header_of(const std::string& word) { return word == "yes" ? Header::yes : word == "no" ? Header::no : Header::automatic; }

void RunOptions::add_to(CLI::App& app, bool may_tune) {
  app.add_option("--device", device, "auto, cpu, cuda or cuda:N; only auto falls back to the CPU")
      ->capture_default_str()
      ->envname("LAMELLA_DEVICE")
      ->type_name("DEVICE")
      ->check(device_name());
  take_word(*app.add_option("--dtype", dtype, "compute every layer in this type; default: the model's own"), compute_types());
  app.add_option("--engine", engine, "use this engine for every Dense layer; lamella explain shows their names")
      ->type_name("NAME");
  take_word(*app.add_option("--fusion", fusion, "what may be fused into a product; default: automatic"), words_of_enum<Fusion>());
  take_word(
      *app.add_option("--math", math, "whether float32 operands of a product may be rounded or split (CUDA); default: exact"),
      words_of_enum<Math>());
  take_word(
      *app.add_option("--determinism", determinism,
                      "batch_invariant: the bits of a row do not depend on other rows, which is slower; default: run_to_run"),
      words_of_enum<Determinism>());
  if (may_tune) {
    take_word(*app.add_option(
                      "--tuning", tuning,
                      "off: choose engines by rule; cached: the fastest in stored measurements (lamella tune); measure: measure "
                      "what is not stored")
                   ->capture_default_str(),
              words_of_enum<Tuning>());
  }
  app.add_option("--threads", threads, "CPU threads; default: LAMELLA_THREADS, else as many as the process may use")
      ->type_name("N")
      ->check(integer(0, kMostThreads));
}

Options RunOptions::options() const {
  Options result;
  result.device = Device::parse(device);
  if (!dtype.empty()) result.dtype = dtype_of(dtype);
  if (!math.empty()) result.math = value_of<Math>(math);
  if (!fusion.empty()) result.fusion = value_of<Fusion>(fusion);
  if (!determinism.empty()) result.determinism = value_of<Determinism>(determinism);
  result.tuning = value_of<Tuning>(tuning);
  result.engine = engine;
  result.threads = threads;
  if (engine.empty()) return result;
  const std::vector<std::string> engines = engine_names(result.device);
  if (std::find(engines.begin(), engines.end(), engine) == engines.end())
    throw UsageError(core::format("--engine: got '{}', allowed {}{}", engine, listed(engines), did_you_mean(engine, engines)));
  return result;
}

int thread_count(int given) {
  if (given > 0) return given;
  const char* const text = std::getenv("LAMELLA_THREADS");
  return text == nullptr || *text == '\0' ? std::min(core::usable_processors(), kMostThreads) : std::stoi(text);
}

void check_environment() {
  const std::vector<std::string> isas{"generic", "avx2", "avx512"};
  const auto isa = [&](const std::string& text) {
    return std::find(isas.begin(), isas.end(), text) != isas.end() ? ""
                                                                   : core::format("got '{}', allowed {}", text, listed(isas));
  };
  const auto check = [](const char* name, const auto& why_not) {
    const char* const text = std::getenv(name);
    if (text == nullptr || *text == '\0') return;
    if (const std::string why = why_not(text); !why.empty()) throw UsageError(core::format("{}: {}", name, why));
  };
  check("LAMELLA_DEVICE", [](std::string text) { return device_name()(text); });
  check("LAMELLA_THREADS", [](std::string text) { return integer(1, kMostThreads)(text); });
  check("LAMELLA_MAX_CPU_ISA", isa);
}

std::vector<ArraySpec> inputs_of(const Model& model) {
  return specs(
      model.input_names(), [&](int i) { return model.input_shape(i); }, [&](int i) { return model.input_dtype(i); });
}

std::vector<ArraySpec> outputs_of(const Model& model) {
  return specs(
      model.output_names(), [&](int i) { return model.output_shape(i); }, [&](int i) { return model.output_dtype(i); });
}

Model load_model(const std::string& path, const std::string& weights, const Options& options) {
  if (weights.empty()) return Model::load(path, options);
  char first = '\0';
  if (std::ifstream file(path); file) file >> first;
  return first == '{' ? load_architecture(path, weights, options) : Model::load(path, options).with_weights(weights);
}

Model load_model_for(const std::vector<std::string>& inputs, const std::string& path, const std::string& weights,
                     const Options& options, Header header) {
  try {
    return load_model(path, weights, options);
  } catch (const LoadError& error) {
    if (error.code() != ErrorCode::missing || !weights.empty() || inputs.empty() || inputs[0] == "-") throw;
    const std::string& input = inputs[0];
    const bool is_file = std::ifstream(input).good();
    const std::vector<std::int64_t> extents = shape_of_file(is_file ? input : input.substr(input.find('=') + 1), header);
    if (extents.empty()) throw;
    return load_with_shape(path, {extents.begin() + 1, extents.end()}, options);
  }
}

Done predict_rows(const Model& model, Inputs& inputs, std::int64_t batch_size, bool bar,
                  const std::function<void(const std::vector<Tensor>&)>& put) {
  const std::int64_t batch = batch_of(batch_size, inputs);
  const std::int64_t total = inputs.rows();
  Progress progress(total, bar && total != 0);
  Done done;
  while (true) {
    const std::vector<Tensor> part = inputs.next(batch, model.input_names().size());
    const std::int64_t rows = part.empty() || part[0].shape().rank() == 0 ? 0 : part[0].shape()[0];
    if (rows == 0 && done.rows != 0) break;
    put(model.predict(std::vector<TensorView>(part.begin(), part.end())));
    done.rows += rows;
    progress.at(done.rows);
    if (rows < batch || done.rows == total) break;
  }
  done.seconds = progress.seconds();
  return done;
}

}  // namespace lamella::cli
