// SPDX-License-Identifier: Apache-2.0
// Sinks for --output.
#include <filesystem>
#include <lamella/npy.hpp>
#include <map>
#include <memory>
#include <optional>
#include <utility>

#include "cli/csv.hpp"
#include "cli/rows.hpp"
#include "cli/words.hpp"
#include "core/format.hpp"
#include "core/npy_head.hpp"
#include "core/output_file.hpp"

namespace lamella::cli {
namespace {

/// The dtype in the file, since numpy has no bfloat16.
DType written(DType dtype) { return dtype == DType::bfloat16 ? DType::float32 : dtype; }

std::string path_of(const std::string& file) { return file == "-" ? "/dev/fd/1" : file; }

/// Writes one array as npy while its rows arrive, if their number is known.
class NpySink final : public RowSink {
 public:
  NpySink(std::size_t output, const std::string& file, std::int64_t rows) : output_(output), path_(path_of(file)), rows_(rows) {}

  void put(const std::vector<Tensor>& outputs) override {
    const Tensor& y = outputs[output_];
    if (!file_) {
      file_.emplace(path_);
      write(core::npy_header(written(y.dtype()), y.shape().with(0, rows_)));
    }
    if (y.dtype() == written(y.dtype()))
      file_->write(y.data(), y.bytes());
    else
      put_converted(y.to(written(y.dtype())));
  }
  void finish() override { file_->finish(); }

 private:
  void write(const std::string& text) { file_->write(text.data(), text.size()); }
  void put_converted(const Tensor& y) { file_->write(y.data(), y.bytes()); }

  std::size_t output_;
  std::string path_;
  std::int64_t rows_;
  std::optional<core::OutputFile> file_;
};

/// Arrays that are kept until the last row has arrived.
class CollectingSink final : public RowSink {
 public:
  struct Kept {
    std::string name;
    std::size_t output = 0;
    DType dtype = DType::float32;
    std::vector<std::int64_t> sample;
    std::int64_t rows = 0;
    std::vector<std::byte> bytes;
  };
  CollectingSink(std::vector<Kept> arrays, const std::string& file, bool archive)
      : arrays_(std::move(arrays)), path_(path_of(file)), archive_(archive) {}

  void put(const std::vector<Tensor>& outputs) override {
    for (Kept& array : arrays_) {
      const Tensor& y = outputs[array.output];
      array.dtype = y.dtype();
      array.sample.assign(y.shape().begin() + 1, y.shape().end());
      array.rows += y.shape()[0];
      const auto* const data = static_cast<const std::byte*>(y.data());
      array.bytes.insert(array.bytes.end(), data, data + y.bytes());
    }
  }
  void finish() override {
    std::map<std::string, TensorView> views;
    for (const Kept& array : arrays_) {
      std::vector<std::int64_t> extents{array.rows};
      extents.insert(extents.end(), array.sample.begin(), array.sample.end());
      views.emplace(array.name, TensorView(array.bytes.empty() ? nullptr : array.bytes.data(), Shape(extents), array.dtype));
    }
    if (archive_) return save_npz(path_, views);
    save_npy(path_, views.begin()->second);
  }

 private:
  std::vector<Kept> arrays_;
  std::string path_;
  bool archive_;
};

/// Arrays side by side, one line per row.
class CsvSink final : public RowSink {
 public:
  CsvSink(std::vector<std::size_t> outputs, std::vector<std::string> names, const std::string& file, char separator, bool header)
      : outputs_(std::move(outputs)), names_(std::move(names)), path_(path_of(file)), separator_(separator), header_(header) {}

  void put(const std::vector<Tensor>& outputs) override {
    if (!file_) {
      file_.emplace(path_);
      if (header_) write_header(outputs);
    }
    std::vector<Tensor> converted;
    for (const std::size_t output : outputs_) converted.push_back(as_numbers(outputs[output]));
    const std::int64_t rows = converted[0].shape()[0];
    for (std::int64_t row = 0; row < rows; ++row) {
      for (std::size_t i = 0; i < converted.size(); ++i) {
        if (i != 0) text_ += separator_;
        append_csv_row(text_, converted[i], row, separator_);
      }
      text_ += '\n';
      if (text_.size() > kBlock) flush();
    }
    flush();
  }
  void finish() override { file_->finish(); }

 private:
  static constexpr std::size_t kBlock = std::size_t{1} << 20U;

  static Tensor as_numbers(const Tensor& y) {
    if (y.dtype() == DType::float16 || y.dtype() == DType::bfloat16) return y.to(DType::float32);
    const bool kept = is_floating(y.dtype()) || y.dtype() == DType::uint64;
    return kept ? y.clone() : y.to(DType::int64);
  }
  void write_header(const std::vector<Tensor>& outputs) {
    for (std::size_t i = 0; i < outputs_.size(); ++i) {
      const Shape& shape = outputs[outputs_[i]].shape();
      for (const std::string& name : column_names(names_[i], shape.elements(1, shape.rank())))
        text_ += (text_.empty() ? "" : std::string(1, separator_)) + csv_quoted(name, separator_);
    }
    text_ += '\n';
  }
  void flush() {
    file_->write(text_.data(), text_.size());
    text_.clear();
  }

  std::vector<std::size_t> outputs_;
  std::vector<std::string> names_;
  std::string path_;
  char separator_;
  bool header_;
  std::string text_;
  std::optional<core::OutputFile> file_;
};

std::string format_of(const std::string& file, const OutputForm& form) {
  if (form.format != "auto") return form.format;
  for (const char* ending : {"npz", "csv", "tsv"}) {
    if (file.ends_with(std::string(".") + ending)) return ending;
  }
  if (file == "-") return form.csv_by_default ? "csv" : "npy";
  const std::string ending = std::filesystem::path(file).extension().string();
  if (ending.empty() || ending == ".npy") return "npy";
  throw UsageError(core::format(
      "--output: '{}' ends in '{}', which names no format; allowed .npy, .npz, .csv, .tsv, no ending (npy), or --output-format",
      file, ending));
}

std::unique_ptr<RowSink> sink_for(const std::string& file, const std::vector<std::size_t>& outputs,
                                  const std::vector<std::string>& names, const OutputForm& form) {
  const std::string format = format_of(file, form);
  std::vector<std::string> own;
  own.reserve(outputs.size());
  for (const std::size_t output : outputs) own.push_back(names[output]);
  if (format == "csv" || format == "tsv")
    return std::make_unique<CsvSink>(outputs, std::move(own), file, format == "csv" ? ',' : '\t', form.header);
  if (format == "npy" && form.rows >= 0) return std::make_unique<NpySink>(outputs[0], file, form.rows);
  std::vector<CollectingSink::Kept> kept;
  for (std::size_t i = 0; i < outputs.size(); ++i) kept.push_back({own[i], outputs[i], DType::float32, {}, 0, {}});
  return std::make_unique<CollectingSink>(std::move(kept), file, format == "npz");
}

}  // namespace

std::vector<std::unique_ptr<RowSink>> open_outputs(const std::vector<std::string>& arguments, const std::vector<ArraySpec>& specs,
                                                   const OutputForm& form) {
  const std::vector<std::string> names = names_of(specs);
  std::vector<std::unique_ptr<RowSink>> sinks;
  const bool alone = arguments.size() == 1 && named_file(arguments[0], names, "--output").first.empty();
  if (alone && (specs.size() == 1 || format_of(arguments[0], form) != "npy")) {
    std::vector<std::size_t> every(specs.size());
    for (std::size_t i = 0; i < every.size(); ++i) every[i] = i;
    sinks.push_back(sink_for(arguments[0], every, names, form));
    return sinks;
  }
  const auto files = files_for(arguments, names, "--output");
  for (std::size_t i = 0; i < files.size(); ++i) {
    if (files[i].size() > 1) throw ArgumentError(ErrorCode::argument, core::format("--output: '{}' is given twice", names[i]));
    sinks.push_back(sink_for(files[i][0], {i}, names, form));
  }
  return sinks;
}

}  // namespace lamella::cli
