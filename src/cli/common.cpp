// SPDX-License-Identifier: Apache-2.0
#include <unistd.h>

#include <algorithm>
#include <charconv>
#include <chrono>
#include <cmath>
#include <cstdio>
#include <cstring>
#include <fstream>
#include <lamella/architecture.hpp>

#include "cli/verbs.hpp"

namespace lamella::cli {
namespace {

/// "[=====>     ] 512/4096" on stderr, when that is a terminal and the work has lasted long enough to be worth a word.
class Progress {
 public:
  explicit Progress(std::int64_t total) : total_(total), shown_(isatty(STDERR_FILENO) != 0) {}
  ~Progress() {
    if (drawn_) std::fprintf(stderr, "\r%*s\r", kWidth + 40, "");
  }
  Progress(const Progress&) = delete;
  Progress& operator=(const Progress&) = delete;

  void at(std::int64_t done) {
    const auto now = std::chrono::steady_clock::now();
    if (!shown_ || now - begin_ < std::chrono::seconds(1) || now - last_ < std::chrono::milliseconds(50)) return;
    last_ = now;
    drawn_ = true;
    const auto filled = static_cast<std::size_t>(total_ == 0 ? kWidth : done * kWidth / total_);
    std::fprintf(stderr, "\r[%s%s] %lld/%lld rows", std::string(filled, '=').c_str(), std::string(kWidth - filled, ' ').c_str(),
                 static_cast<long long>(done), static_cast<long long>(total_));
  }

 private:
  static constexpr int kWidth = 40;
  std::int64_t total_;
  bool shown_;
  bool drawn_ = false;
  std::chrono::steady_clock::time_point begin_ = std::chrono::steady_clock::now();
  std::chrono::steady_clock::time_point last_ = begin_;
};

}  // namespace

void print(std::FILE* to, std::string_view text) {
  while (!text.empty()) {
    const std::size_t end = std::min(text.find('\n'), text.size());
    std::string line = printable(text.substr(0, end));
    if (end < text.size()) line += '\n';
    static_cast<void>(std::fwrite(line.data(), 1, line.size(), to));  // a failure shows when the stream is flushed
    text.remove_prefix(std::min(end + 1, text.size()));
  }
}

CLI::Validator tolerance() {
  const auto check = [](const std::string& text) -> std::string {
    double value = 0;
    const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
    const bool is_one = error == std::errc{} && end == text.data() + text.size() && std::isfinite(value) && value >= 0;
    return is_one ? "" : "got '" + text + "', allowed a finite number, 0 or more";
  };
  return CLI::Validator(check, "FLOAT >= 0");
}

void RunOptions::add_to(CLI::App& app) {
  app.add_option("--device", device, "auto, cpu, cuda or cuda:N; only auto may choose the CPU by itself")
      ->capture_default_str()
      ->envname("LAMELLA_DEVICE");
  app.add_option("--dtype", dtype, "compute every layer in float32, bfloat16, float16 or float64; default: as the model says");
  app.add_option("--engine", engine, "force a Dense engine by name");
  app.add_option("--threads", threads, "CPU threads; default: LAMELLA_THREADS, else as many as the process may use");
}

Options RunOptions::options() const {
  Options result;
  result.device = Device::parse(device);
  if (!dtype.empty()) result.dtype = dtype_of(dtype);
  result.engine = engine;
  result.threads = threads;
  return result;
}

Model load_model(const std::string& path, const std::string& weights, const Options& options) {
  if (weights.empty()) return Model::load(path, options);
  char first = '\0';
  if (std::ifstream file(path); file) file >> first;
  return first == '{' ? load_architecture(path, weights, options) : Model::load(path, options).with_weights(weights);
}

Model load_model_for(const std::vector<std::string>& inputs, const std::string& path, const std::string& weights,
                     const Options& options) {
  try {
    return load_model(path, weights, options);
  } catch (const LoadError& error) {
    if (error.code() != ErrorCode::missing || !weights.empty() || inputs.size() != 1) throw;
    const std::string& input = inputs[0];
    const bool is_file = std::ifstream(input).good();
    const Tensor x = load_array(is_file ? input : input.substr(input.find('=') + 1), "", "--input");
    const auto extents = x.shape().extents();
    if (extents.empty()) throw;
    return load_with_shape(path, {extents.begin() + 1, extents.end()}, options);
  }
}

std::vector<Tensor> predict_all(const Model& model, const std::vector<Tensor>& inputs, std::int64_t batch_size) {
  std::vector<TensorView> whole(inputs.begin(), inputs.end());
  const std::int64_t rows = whole.empty() || whole[0].shape().rank() == 0 ? 0 : whole[0].shape()[0];
  const bool equal =
      std::all_of(whole.begin(), whole.end(), [&](const TensorView& x) { return x.shape().rank() > 0 && x.shape()[0] == rows; });
  if (!equal || rows <= batch_size) return model.predict(whole);  // also where predict has to refuse
  Progress progress(rows);
  std::vector<Tensor> results;
  for (std::int64_t row = 0; row < rows; row += batch_size) {
    const std::int64_t batch = std::min(batch_size, rows - row);
    std::vector<TensorView> part;
    for (const TensorView& x : whole) {
      const std::size_t row_bytes = x.bytes() / static_cast<std::size_t>(rows);
      part.emplace_back(static_cast<const std::byte*>(x.data()) + static_cast<std::size_t>(row) * row_bytes,
                        x.shape().with(0, batch), x.dtype());
    }
    const std::vector<Tensor> outputs = model.predict(part);
    if (results.empty()) {
      for (const Tensor& y : outputs) results.emplace_back(y.shape().with(0, rows), y.dtype());
    }
    if (std::all_of(results.begin(), results.end(), [](const Tensor& y) { return y.bytes() == 0; })) return results;
    for (std::size_t i = 0; i < outputs.size(); ++i) {
      const std::size_t row_bytes = results[i].bytes() / static_cast<std::size_t>(rows);
      if (outputs[i].bytes() == 0) continue;
      std::memcpy(static_cast<std::byte*>(results[i].data()) + static_cast<std::size_t>(row) * row_bytes, outputs[i].data(),
                  outputs[i].bytes());
    }
    progress.at(row + batch);
  }
  return results;
}

}  // namespace lamella::cli
