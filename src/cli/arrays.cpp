// SPDX-License-Identifier: Apache-2.0
// Sources for --input and --expected: npy files, npz archives with one array or many, and CSV.
#include <algorithm>
#include <array>
#include <cstring>
#include <filesystem>
#include <lamella/npy.hpp>
#include <memory>
#include <utility>

#include "cli/csv.hpp"
#include "cli/rows.hpp"
#include "cli/words.hpp"
#include "core/format.hpp"
#include "core/npy_rows.hpp"

namespace lamella::cli {
namespace {

constexpr std::string_view kNpy = "\x93NUMPY";
constexpr std::string_view kZip = "PK";

enum class Kind { npy, npz, csv };

/// Detects a file's format without consuming anything.
Kind kind_of(ByteStream& bytes, const std::string& file) {
  const std::string_view head = bytes.peek(kNpy.size());
  if (head == kNpy) return Kind::npy;
  if (head.starts_with(kZip)) {
    if (file != "-") return Kind::npz;
    throw LoadError(ErrorCode::unsupported,
                    core::format("{}: npz archives cannot be read from a pipe; npy and CSV can", bytes.name()));
  }
  if (file == "-" || file.ends_with(".csv") || file.ends_with(".tsv")) return Kind::csv;
  throw LoadError(ErrorCode::value,
                  core::format("{}: neither npy nor npz; a CSV file needs a name that ends in .csv or .tsv", bytes.name()));
}

char separator_for(const std::string& file) { return file.ends_with(".tsv") ? '\t' : '\0'; }

Tensor taken(std::map<std::string, Tensor>& arrays, const std::string& name, const std::string& file, const char* option) {
  if (const auto found = arrays.find(name); found != arrays.end()) return std::move(found->second);
  std::vector<std::string> there;
  there.reserve(arrays.size());
  for (const auto& [key, array] : arrays) there.push_back(key);
  throw ArgumentError(ErrorCode::missing, core::format("{}: '{}' has no array '{}'; it has {}", option, file, name,
                                                       there.empty() ? "none" : listed(there)));
}

/// Rows of an array in memory.
class MemoryRows final : public RowSource {
 public:
  MemoryRows(std::size_t input, Tensor array) : input_(input), array_(std::move(array)) {}

  [[nodiscard]] std::int64_t rows() const override { return array_.shape().rank() == 0 ? -1 : array_.shape()[0]; }
  [[nodiscard]] std::size_t row_bytes() const override {
    const Shape& shape = array_.shape();
    return shape.rank() == 0 ? 0 : static_cast<std::size_t>(shape.elements(1, shape.rank())) * size_of(array_.dtype());
  }
  void next(std::int64_t most, std::vector<Tensor>& inputs) override {
    const Shape& shape = array_.shape();
    if (shape.rank() == 0) {  // no batch axis: the model refuses it
      inputs[input_] = array_.clone();
      return;
    }
    const std::int64_t count = std::min(most, shape[0] - at_);
    const auto* const data = static_cast<const std::byte*>(std::as_const(array_).data());
    const std::byte* const from = data == nullptr ? nullptr : data + static_cast<std::size_t>(at_) * row_bytes();
    inputs[input_] = Tensor::copy_of(TensorView(from, shape.with(0, count), array_.dtype()));
    at_ += count;
  }

 private:
  std::size_t input_;
  Tensor array_;
  std::int64_t at_ = 0;
};

/// Rows of an npy file, or of a pipe with the content of one.
class NpySource final : public RowSource {
 public:
  NpySource(std::size_t input, std::unique_ptr<ByteStream> bytes) : input_(input), bytes_(std::move(bytes)) {
    const std::string peeked = bytes_->take_peeked();
    std::vector<std::byte> ahead(peeked.size());
    std::memcpy(ahead.data(), peeked.data(), peeked.size());
    rows_.emplace(bytes_->descriptor(), std::move(ahead), bytes_->name());
  }

  [[nodiscard]] std::int64_t rows() const override { return rows_->shape().rank() == 0 ? -1 : rows_->shape()[0]; }
  [[nodiscard]] std::size_t row_bytes() const override {
    const Shape& shape = rows_->shape();
    return shape.rank() == 0 ? 0 : static_cast<std::size_t>(shape.elements(1, shape.rank())) * size_of(rows_->dtype());
  }
  void next(std::int64_t most, std::vector<Tensor>& inputs) override {
    inputs[input_] = rows_->shape().rank() == 0 ? rows_->all() : rows_->next(most);
  }

 private:
  std::size_t input_;
  std::unique_ptr<ByteStream> bytes_;
  std::optional<core::NpyRows> rows_;
};

/// The array of an npz archive with this name, or its only one.
Tensor array_of_archive(const std::string& file, const std::string& name, const char* option) {
  std::map<std::string, Tensor> arrays = load_npz(file);
  return arrays.size() == 1 ? std::move(arrays.begin()->second) : taken(arrays, name, file, option);
}

/// A source of rows from one file, for some of the inputs.
void add_source(Inputs& all, const std::string& file, const std::vector<std::size_t>& inputs, const std::vector<ArraySpec>& specs,
                const char* option, Header header) {
  auto bytes = std::make_unique<ByteStream>(file);
  const Kind kind = kind_of(*bytes, file);
  if (kind == Kind::csv) {
    auto reader = std::make_unique<CsvReader>(std::move(bytes), header, separator_for(file));
    all.is_csv = all.is_csv || all.sources.empty();
    all.has_header = all.has_header || (all.sources.empty() && reader->has_header());
    all.sources.push_back(csv_source(std::move(reader), specs, inputs, option));
  } else if (inputs.size() > 1) {
    std::map<std::string, Tensor> arrays = load_npz(file);
    for (const std::size_t input : inputs)
      all.sources.push_back(std::make_unique<MemoryRows>(input, taken(arrays, specs[input].name, file, option)));
  } else if (kind == Kind::npz) {
    all.sources.push_back(std::make_unique<MemoryRows>(inputs[0], array_of_archive(file, specs[inputs[0]].name, option)));
  } else {
    all.sources.push_back(std::make_unique<NpySource>(inputs[0], std::move(bytes)));
  }
}

/// Rows of several files for the same inputs, one file after another.
class RowsOfFiles final : public RowSource {
 public:
  RowsOfFiles(std::vector<std::string> names, std::vector<Inputs> files, std::vector<std::size_t> inputs, std::string option)
      : names_(std::move(names)), files_(std::move(files)), inputs_(std::move(inputs)), option_(std::move(option)) {}

  [[nodiscard]] std::int64_t rows() const override {
    std::int64_t sum = 0;
    for (const Inputs& file : files_) {
      const std::int64_t rows = file.rows();
      if (rows < 0) return -1;
      sum += rows;
    }
    return sum;
  }
  [[nodiscard]] std::size_t row_bytes() const override {
    std::size_t most = 0;
    for (const Inputs& file : files_) most = std::max(most, file.row_bytes());
    return most;
  }
  void next(std::int64_t most, std::vector<Tensor>& inputs) override {
    std::vector<std::vector<Tensor>> parts(inputs_.size());
    for (std::int64_t rows = 0; rows < most && at_ < files_.size();) {
      for (const auto& source : files_[at_].sources) source->next(most - rows, inputs);
      std::int64_t found = 0;
      for (std::size_t i = 0; i < inputs_.size(); ++i) {
        expect_alike(inputs[inputs_[i]], i);
        found = inputs[inputs_[i]].shape()[0];
        parts[i].push_back(std::move(inputs[inputs_[i]]));
      }
      if (found < most - rows) ++at_;
      rows += found;
    }
    for (std::size_t i = 0; i < inputs_.size(); ++i) {
      if (!parts[i].empty())
        inputs[inputs_[i]] = joined(parts[i]);
      else  // all files were read before
        inputs[inputs_[i]] = Tensor(alike_[i].first.with(0, 0), alike_[i].second);
    }
  }

 private:
  void expect_alike(const Tensor& array, std::size_t i) {
    if (array.shape().rank() == 0)
      throw ArgumentError(ErrorCode::shape, core::format("{}: '{}' has a number without rows", option_, printable(names_[at_])));
    if (alike_.size() <= i) alike_.emplace_back(array.shape(), array.dtype());
    const auto& [shape, dtype] = alike_[i];
    if (array.dtype() == dtype && array.shape().with(0, 0) == shape.with(0, 0)) return;
    throw ArgumentError(
        ErrorCode::shape,
        core::format("{}: '{}' is {}, but '{}' is {}; files for the same input need rows of the same shape and dtype", option_,
                     printable(names_[at_]), described(array.shape(), array.dtype()), printable(names_[0]),
                     described(shape, dtype)));
  }
  static std::string described(const Shape& shape, DType dtype) {
    return core::format("{} {}", to_string(shape), to_string(dtype));
  }
  static Tensor joined(std::vector<Tensor>& parts) {
    if (parts.size() == 1) return std::move(parts[0]);
    std::int64_t rows = 0;
    for (const Tensor& part : parts) rows += part.shape()[0];
    Tensor whole(parts[0].shape().with(0, rows), parts[0].dtype());
    auto* to = static_cast<std::byte*>(whole.data());
    for (const Tensor& part : parts) {
      if (part.bytes() == 0) continue;
      std::memcpy(to, part.data(), part.bytes());
      to += part.bytes();
    }
    return whole;
  }

  std::vector<std::string> names_;
  std::vector<Inputs> files_;
  std::vector<std::size_t> inputs_;
  std::string option_;
  std::size_t at_ = 0;
  std::vector<std::pair<Shape, DType>> alike_;  ///< of each input, in the first file
};

/// A source of rows from these files, one after another, for some of the inputs.
void add_sources(Inputs& all, const std::vector<std::string>& files, const std::vector<std::size_t>& inputs,
                 const std::vector<ArraySpec>& specs, const char* option, Header header) {
  if (files.size() == 1) return add_source(all, files[0], inputs, specs, option, header);
  std::vector<Inputs> each(files.size());
  for (std::size_t i = 0; i < files.size(); ++i) add_source(each[i], files[i], inputs, specs, option, header);
  if (all.sources.empty()) {
    all.is_csv = each[0].is_csv;
    all.has_header = each[0].has_header;
  }
  all.sources.push_back(std::make_unique<RowsOfFiles>(files, std::move(each), inputs, option));
}

/// Whether one file can hold all inputs.
bool holds_many(const std::string& file) {
  if (file == "-") return true;
  ByteStream bytes(file);
  return kind_of(bytes, file) != Kind::npy;
}

}  // namespace

std::pair<std::string, std::string> named_file(const std::string& argument, const std::vector<std::string>& names,
                                               const char* option) {
  for (const std::string& name : names) {
    if (argument.starts_with(name + "=")) return {name, argument.substr(name.size() + 1)};
  }
  const std::string before = argument.substr(0, argument.find('='));
  std::error_code ignored;
  if (before == argument || before.find('/') != std::string::npos || std::filesystem::exists(argument, ignored))
    return {"", argument};
  throw ArgumentError(ErrorCode::missing,
                      core::format("{}: got '{}'; the model has no '{}', only {}; a file of this name is './{}'{}", option,
                                   argument, before, listed(names), argument, did_you_mean(before, names)));
}

std::vector<std::vector<std::string>> files_for(const std::vector<std::string>& arguments, const std::vector<std::string>& names,
                                                const char* option) {
  std::map<std::string, std::vector<std::string>> given;
  for (const std::string& argument : arguments) {
    auto [name, file] = named_file(argument, names, option);
    if (name.empty()) {
      if (names.size() != 1) {
        throw ArgumentError(
            ErrorCode::argument,
            core::format("{}: got '{}'; the model has several: give NAME=FILE for each of {}, or one .npz or .csv for all",
                         option, argument, listed(names)));
      }
      name = names[0];
    }
    given[name].push_back(file);
  }
  std::vector<std::vector<std::string>> files;
  std::ptrdiff_t pipes = 0;
  for (const std::string& name : names) {
    if (!given.contains(name))
      throw ArgumentError(ErrorCode::missing, core::format("{}: no file is given for '{}'", option, name));
    files.push_back(given[name]);
    pipes += std::count(files.back().begin(), files.back().end(), "-");
  }
  if (pipes > 1) throw ArgumentError(ErrorCode::argument, core::format("{}: '-' is given more than once", option));
  return files;
}

std::vector<std::string> names_of(const std::vector<ArraySpec>& specs) {
  std::vector<std::string> names;
  names.reserve(specs.size());
  for (const ArraySpec& spec : specs) names.push_back(spec.name);
  return names;
}

Inputs open_inputs(const std::vector<std::string>& arguments, const std::vector<ArraySpec>& specs, const char* option,
                   Header header) {
  const std::vector<std::string> names = names_of(specs);
  Inputs all;
  std::vector<std::size_t> every(specs.size());
  for (std::size_t i = 0; i < every.size(); ++i) every[i] = i;
  const auto is_for_all = [&](const std::string& file) {
    return named_file(file, names, option).first.empty() && holds_many(file);
  };
  if (specs.size() > 1 && !arguments.empty() && std::all_of(arguments.begin(), arguments.end(), is_for_all)) {
    add_sources(all, arguments, every, specs, option, header);
    return all;
  }
  const auto files = files_for(arguments, names, option);
  for (const std::size_t i : every) add_sources(all, files[i], {i}, specs, option, header);
  return all;
}

std::vector<std::int64_t> shape_of_file(const std::string& path, Header header) {
  auto bytes = std::make_unique<ByteStream>(path);
  switch (kind_of(*bytes, path)) {
    case Kind::csv:
      return {-1, static_cast<std::int64_t>(CsvReader(std::move(bytes), header, separator_for(path)).columns())};
    case Kind::npz: {
      const Tensor array = array_of_archive(path, "", "--input");
      return {array.shape().begin(), array.shape().end()};
    }
    case Kind::npy:
      break;
  }
  const core::NpyRows rows(path);
  return {rows.shape().begin(), rows.shape().end()};
}

std::int64_t Inputs::rows() const {
  std::int64_t rows = -1;
  for (const auto& source : sources) {
    const std::int64_t own = source->rows();
    if (own < 0) continue;
    if (rows >= 0 && rows != own) {
      throw ArgumentError(
          ErrorCode::shape,
          core::format("--input: one file has {} rows and another {}; all inputs need the same number of rows", rows, own));
    }
    rows = own;
  }
  return rows;
}

std::size_t Inputs::row_bytes() const {
  std::size_t bytes = 0;
  for (const auto& source : sources) bytes += source->row_bytes();
  return bytes;
}

std::vector<Tensor> Inputs::next(std::int64_t most, std::size_t inputs) {
  std::vector<Tensor> result(inputs);
  for (const auto& source : sources) source->next(most, result);
  for (const Tensor& x : result) {
    const bool batches = x.shape().rank() > 0 && result[0].shape().rank() > 0;
    if (!batches || x.shape()[0] == result[0].shape()[0]) continue;
    throw ArgumentError(ErrorCode::shape,
                        "--input: one file has fewer rows than another; all inputs need the same number of rows");
  }
  return result;
}

}  // namespace lamella::cli
