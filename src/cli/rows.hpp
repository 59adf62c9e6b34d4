// SPDX-License-Identifier: Apache-2.0
// Inputs and outputs of predictions that are read and written some rows at a time.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include <lamella/model.hpp>

namespace lamella::cli {

/// What a model says of one of its inputs or outputs.
struct ArraySpec {
  std::string name;
  std::vector<std::int64_t> sample;  ///< extents of a row, -1 for None
  DType dtype = DType::float32;
};
[[nodiscard]] std::vector<ArraySpec> inputs_of(const Model& model);
[[nodiscard]] std::vector<ArraySpec> outputs_of(const Model& model);

/// Whether the first line of CSV is names.
enum class Header { automatic, yes, no };

/// Bytes of a file or a pipe, of which those at the beginning may be looked at before.
class ByteStream {
 public:
  /// "-" is standard input; else a file, a FIFO or a device. Throws LoadError (io).
  explicit ByteStream(const std::string& path);
  ~ByteStream();
  ByteStream(const ByteStream&) = delete;
  ByteStream& operator=(const ByteStream&) = delete;

  [[nodiscard]] const std::string& name() const noexcept { return name_; }  ///< for messages
  [[nodiscard]] int descriptor() const noexcept { return file_; }
  /// Up to `bytes` of what follows; fewer at the end. Nothing is taken.
  [[nodiscard]] std::string_view peek(std::size_t bytes);
  /// The line that follows, without its end, or the first `most` bytes of it. Nothing is taken.
  [[nodiscard]] std::string_view peek_line(std::size_t most);
  /// What was looked at and not taken, which is then taken.
  [[nodiscard]] std::string take_peeked();
  /// The next byte, -1 at the end.
  int next() {
    if (at_ == buffer_.size() && !fill()) return -1;
    return static_cast<unsigned char>(buffer_[at_++]);
  }

 private:
  bool fill();

  std::string name_;
  std::string buffer_;
  std::size_t at_ = 0;
  int file_ = -1;
  bool own_ = false;
};

/// Rows of some of the inputs, from one file.
class RowSource {
 public:
  RowSource() = default;
  RowSource(const RowSource&) = delete;
  RowSource& operator=(const RowSource&) = delete;
  virtual ~RowSource() = default;
  /// Of all it has; -1: that shows at the end only.
  [[nodiscard]] virtual std::int64_t rows() const { return -1; }
  /// Bytes of a row; 0: not known, or none.
  [[nodiscard]] virtual std::size_t row_bytes() const { return 0; }
  /// Puts the next rows into their inputs' places: `most`, or as many as are left. Throws LoadError.
  virtual void next(std::int64_t most, std::vector<Tensor>& inputs) = 0;
};

/// All inputs.
struct Inputs {
  std::vector<std::unique_ptr<RowSource>> sources;
  bool is_csv = false;      ///< the first of them is
  bool has_header = false;  ///< and its columns have names
  /// Of each; -1: not known. Throws ArgumentError (shape) where they differ.
  [[nodiscard]] std::int64_t rows() const;
  [[nodiscard]] std::size_t row_bytes() const;
  /// One tensor an input. Throws LoadError, ArgumentError (shape) where one ends before the others.
  [[nodiscard]] std::vector<Tensor> next(std::int64_t most, std::size_t inputs);
};

/// Opens what `arguments` name: a file for each input, or one that has them all. `option` begins messages. The content decides
/// what a file is: npy, npz, or else CSV where the name ends in .csv or .tsv or is "-". Throws LoadError, ArgumentError.
[[nodiscard]] Inputs open_inputs(const std::vector<std::string>& arguments, const std::vector<ArraySpec>& specs,
                                 const char* option, Header header);
/// The shape that one array of a file has, of whatever kind, without reading its elements where that can be. Not of "-".
[[nodiscard]] std::vector<std::int64_t> shape_of_file(const std::string& path, Header header);

/// Takes rows of some of the outputs.
class RowSink {
 public:
  RowSink() = default;
  RowSink(const RowSink&) = delete;
  RowSink& operator=(const RowSink&) = delete;
  virtual ~RowSink() = default;
  /// All outputs of a batch. Throws Error (io).
  virtual void put(const std::vector<Tensor>& outputs) = 0;
  /// The file is whole now. Without it nothing has happened to what stood there.
  virtual void finish() = 0;
};

/// How --output is to be written.
struct OutputForm {
  std::string format = "auto";  ///< auto, npy, npz, csv or tsv
  bool csv_by_default = false;  ///< standard output gets CSV where nothing says another
  bool header = true;           ///< of CSV
  std::int64_t rows = -1;       ///< that will come; -1: not known
};
/// Where --output puts arrays: a file for each, or one npz or CSV for all. Opens nothing before the first rows come. Throws
/// ArgumentError as files_for() does.
[[nodiscard]] std::vector<std::unique_ptr<RowSink>> open_outputs(const std::vector<std::string>& arguments,
                                                                 const std::vector<ArraySpec>& specs, const OutputForm& form);

[[nodiscard]] std::vector<std::string> names_of(const std::vector<ArraySpec>& specs);
/// "name=file" or "file", to (name, file) with an empty name.
[[nodiscard]] std::pair<std::string, std::string> named_file(const std::string& argument, const std::vector<std::string>& names);
/// The files for `names` in their order. Throws ArgumentError when one is missing, unknown or given twice.
[[nodiscard]] std::vector<std::string> files_for(const std::vector<std::string>& arguments, const std::vector<std::string>& names,
                                                 const char* option);

}  // namespace lamella::cli
