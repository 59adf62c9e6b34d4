// SPDX-License-Identifier: Apache-2.0
// Inputs and outputs of predictions, read and written a few rows at a time.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include <lamella/model.hpp>

namespace lamella::cli {

/// Description of one input or output of a model.
struct ArraySpec {
  std::string name;
  std::vector<std::int64_t> sample;  ///< extents of a row, -1 for None
  DType dtype = DType::float32;
};
[[nodiscard]] std::vector<ArraySpec> inputs_of(const Model& model);
[[nodiscard]] std::vector<ArraySpec> outputs_of(const Model& model);

/// Whether the first line of a CSV file holds names.
enum class Header { automatic, yes, no };

/// Bytes of a file or a pipe; the first ones can be inspected before they are consumed.
class ByteStream {
 public:
  /// "-" is standard input; anything else is a file, a FIFO or a device. Throws LoadError (io).
  explicit ByteStream(const std::string& path);
  ~ByteStream();
  ByteStream(const ByteStream&) = delete;
  ByteStream& operator=(const ByteStream&) = delete;

  [[nodiscard]] const std::string& name() const noexcept { return name_; }  ///< for messages
  [[nodiscard]] int descriptor() const noexcept { return file_; }
  /// Up to `bytes` of the data ahead; fewer at the end. Consumes nothing.
  [[nodiscard]] std::string_view peek(std::size_t bytes);
  /// The line ahead, without its end, or its first `most` bytes. Consumes nothing.
  [[nodiscard]] std::string_view peek_line(std::size_t most);
  /// Consumes and returns the data that was inspected but not consumed.
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
  /// The total number of rows; -1: known only at the end.
  [[nodiscard]] virtual std::int64_t rows() const { return -1; }
  /// Bytes of a row; 0: unknown, or none.
  [[nodiscard]] virtual std::size_t row_bytes() const { return 0; }
  /// Stores the next rows at their inputs' places: `most`, or as many as are left. Throws LoadError.
  virtual void next(std::int64_t most, std::vector<Tensor>& inputs) = 0;
};

/// All inputs.
struct Inputs {
  std::vector<std::unique_ptr<RowSource>> sources;
  bool is_csv = false;      ///< whether the first file is CSV
  bool has_header = false;  ///< whether its first line has the names of columns
  /// The number of rows, common to all; -1: unknown. Throws ArgumentError (shape) if they differ.
  [[nodiscard]] std::int64_t rows() const;
  [[nodiscard]] std::size_t row_bytes() const;
  /// One tensor per input. Throws LoadError, ArgumentError (shape) if one ends before the others.
  [[nodiscard]] std::vector<Tensor> next(std::int64_t most, std::size_t inputs);
};

/// Opens the files named by `arguments`: for each input, or with all of them; several are read one after another. Messages begin
/// with `option`. The format follows from the content: npy, npz, or else CSV if the name ends in .csv or .tsv or is "-". Throws
/// LoadError, ArgumentError.
[[nodiscard]] Inputs open_inputs(const std::vector<std::string>& arguments, const std::vector<ArraySpec>& specs,
                                 const char* option, Header header);
/// The shape of one array of a file of any format, without reading its elements if possible. Not for "-".
[[nodiscard]] std::vector<std::int64_t> shape_of_file(const std::string& path, Header header);

/// Receives rows of some of the outputs.
class RowSink {
 public:
  RowSink() = default;
  RowSink(const RowSink&) = delete;
  RowSink& operator=(const RowSink&) = delete;
  virtual ~RowSink() = default;
  /// All outputs of a batch. Throws Error (io).
  virtual void put(const std::vector<Tensor>& outputs) = 0;
  /// Completes the file. Without this call, an existing file is left unchanged.
  virtual void finish() = 0;
};

/// How to write --output.
struct OutputForm {
  std::string format = "auto";  ///< auto, npy, npz, csv or tsv
  bool csv_by_default = false;  ///< standard output gets CSV if nothing says otherwise
  bool header = true;           ///< write a CSV header
  std::int64_t rows = -1;       ///< that will arrive; -1: unknown
};
/// The destination of --output: one file per array, or one npz or CSV for all. Opens nothing before the first rows arrive. Throws
/// ArgumentError as files_for() does.
[[nodiscard]] std::vector<std::unique_ptr<RowSink>> open_outputs(const std::vector<std::string>& arguments,
                                                                 const std::vector<ArraySpec>& specs, const OutputForm& form);

[[nodiscard]] std::vector<std::string> names_of(const std::vector<ArraySpec>& specs);
/// "name=file" or "file", to (name, file) with an empty name. Throws ArgumentError for a name that is not one of `names`, unless
/// such a file exists.
[[nodiscard]] std::pair<std::string, std::string> named_file(const std::string& argument, const std::vector<std::string>& names,
                                                             const char* option);
/// The files for each of `names`, in the order of `arguments`. Throws ArgumentError if one has none, or a name is unknown.
[[nodiscard]] std::vector<std::vector<std::string>> files_for(const std::vector<std::string>& arguments,
                                                              const std::vector<std::string>& names, const char* option);

}  // namespace lamella::cli
