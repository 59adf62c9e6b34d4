// SPDX-License-Identifier: Apache-2.0
#include "core/tuning_records.hpp"

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <nlohmann/json.hpp>
#include <utility>

#include "core/check.hpp"
#include "core/log.hpp"
#include "core/output_file.hpp"

namespace lamella::core {
namespace {

using nlohmann::json;

constexpr const char* kFormat = "lamella tuning 1";
constexpr std::size_t kMostBytes = std::size_t{16} << 20U;
constexpr std::size_t kMostRecords = 4096;  ///< the oldest are dropped first

std::string quoted(const std::string& text) { return json(text).dump(-1, ' ', true, json::error_handler_t::replace); }

/// A record's fields as they are written, but for the checksum.
std::string fields_of(const TuningRecord& record) {
  std::string text = core::format(R"("machine": {}, "work": {}, "engine": {}, "microseconds": {{)", quoted(record.machine),
                                  quoted(record.work), quoted(record.engine));
  for (const auto& [engine, time] : record.microseconds) {
    char number[32];
    static_cast<void>(std::snprintf(number, sizeof number, "%.9g", time));
    text += core::format("{}{}: {}", engine == record.microseconds.front().first ? "" : ", ", quoted(engine), number);
  }
  return text + "}";
}

/// FNV-1a in 64 bits (Fowler, Noll, Vo), as hexadecimal digits: against damage, not against malice.
std::string checksum_of(const std::string& text) {
  std::uint64_t sum = 14695981039346656037U;
  for (const char byte : text) sum = (sum ^ static_cast<unsigned char>(byte)) * 1099511628211U;
  char digits[17];
  static_cast<void>(std::snprintf(digits, sizeof digits, "%016llx", static_cast<unsigned long long>(sum)));
  return digits;
}

/// Parses records without building a tree of values, which could not be destroyed when memory has run out. Entries not in
/// write()'s format, or whose checksum is that of other fields, are skipped and counted.
class Reader final : public nlohmann::json_sax<json> {
 public:
  /// Nothing if the text is not JSON, is nested too deeply, or does not name the format. Adds to `skipped`.
  static std::optional<std::vector<TuningRecord>> records_of(const std::string& text, int& skipped) {
    Reader reader;
    if (!json::sax_parse(text, &reader) || reader.format_ != kFormat) return std::nullopt;
    skipped += reader.skipped_;
    return std::move(reader.records_);
  }

  bool null() override { return other(); }
  bool boolean(bool) override { return other(); }
  bool binary(binary_t&) override { return other(); }
  bool number_integer(number_integer_t value) override { return number(static_cast<double>(value)); }
  bool number_unsigned(number_unsigned_t value) override { return number(static_cast<double>(value)); }
  bool number_float(number_float_t value, const string_t&) override { return number(value); }
  bool string(string_t& value) override {
    if (depth_ == 1 && top_ == "format") format_ = value;
    if (!is_field()) return other();
    if (field_ == "machine") record_.machine = value;
    if (field_ == "work") record_.work = value;
    if (field_ == "engine") record_.engine = value;
    if (field_ == "checksum") checksum_ = value;
    return true;
  }
  bool key(string_t& name) override {
    (depth_ == 1 ? top_ : depth_ == kRecord ? field_ : engine_) = name;
    return true;
  }
  bool start_object(std::size_t) override {
    if (++depth_ == kRecord) {
      record_ = {};
      checksum_.clear();
      is_good_ = top_ == "records";
    }
    if (depth_ == kRecord + 1 && field_ != "microseconds") is_good_ = false;
    return depth_ <= kDeepest;
  }
  bool end_object() override {
    if (depth_-- != kRecord) return true;
    const bool is_whole = !record_.machine.empty() && !record_.work.empty() && !record_.engine.empty();
    if (is_good_ && is_whole && !record_.microseconds.empty() && checksum_ == checksum_of(fields_of(record_))) {
      records_.push_back(std::move(record_));
    } else {
      ++skipped_;
    }
    return true;
  }
  bool start_array(std::size_t) override {
    if (depth_ >= kRecord) is_good_ = false;
    return ++depth_ <= kDeepest;
  }
  bool end_array() override {
    --depth_;
    return true;
  }
  bool parse_error(std::size_t, const std::string&, const nlohmann::detail::exception&) override { return false; }

 private:
  static constexpr int kRecord = 3;  ///< inside the object and the array
  static constexpr int kDeepest = 5;

  [[nodiscard]] bool is_field() const { return depth_ == kRecord && field_ != "microseconds"; }
  bool other() {
    if (depth_ >= kRecord) is_good_ = false;
    return true;
  }
  bool number(double value) {
    const bool is_time = depth_ == kRecord + 1 && std::isfinite(value) && value >= 0;
    if (!is_time) return other();
    record_.microseconds.emplace_back(engine_, value);
    return true;
  }

  int depth_ = 0;
  bool is_good_ = false;  ///< the part of the record read so far
  std::string top_;
  std::string field_;
  std::string engine_;
  std::string format_;
  std::string checksum_;
  int skipped_ = 0;
  TuningRecord record_;
  std::vector<TuningRecord> records_;
};

std::string text_of(const std::vector<TuningRecord>& records) {
  std::string text = core::format(R"({{"format": {}, "records": [)", quoted(kFormat));
  for (const TuningRecord& record : records) {
    const std::string fields = fields_of(record);
    text += core::format(R"({}{{{}, "checksum": "{}"}})", &record == records.data() ? "\n" : ",\n", fields, checksum_of(fields));
  }
  return text + "\n]}\n";
}

}  // namespace

std::optional<TuningRecord> TuningRecords::find(std::string_view machine, std::string_view work) {
  const std::lock_guard lock(mutex_);
  if (!is_read_) read();
  for (const TuningRecord& record : records_) {
    if (record.machine == machine && record.work == work) return record;
  }
  return std::nullopt;
}

void TuningRecords::add(TuningRecord record) {
  const std::lock_guard lock(mutex_);
  read();
  put(std::move(record));
  if (!path_.empty() && !is_foreign_) write();
}

std::string TuningRecords::trouble() const {
  const std::lock_guard lock(mutex_);
  return trouble_;
}

void TuningRecords::set_trouble(std::string trouble) {
  if (!trouble.empty() && trouble != trouble_)
    log(LogLevel::warning, "measurements of Options::tuning are not kept: {}", trouble);
  trouble_ = std::move(trouble);
}

void TuningRecords::put(TuningRecord record) {
  std::erase_if(records_, [&](const TuningRecord& old) { return old.machine == record.machine && old.work == record.work; });
  records_.push_back(std::move(record));
  if (records_.size() > kMostRecords) records_.erase(records_.begin());
}

/// Adds records that are in the file only; records in memory take precedence.
void TuningRecords::read() {
  is_read_ = true;
  if (path_.empty()) return;
  std::ifstream file(path_, std::ios::binary);
  if (!file) {
    std::error_code error;
    is_foreign_ = std::filesystem::exists(path_, error);
    if (is_foreign_) set_trouble(escaped(path_) + ": cannot be opened");
    return;
  }
  std::string text;
  for (char part[4096]; text.size() <= kMostBytes && (file.read(part, sizeof part) || file.gcount() > 0);)
    text.append(part, static_cast<std::size_t>(file.gcount()));
  int skipped = 0;
  auto found = text.size() > kMostBytes || file.bad() ? std::nullopt : Reader::records_of(text, skipped);
  if (skipped > 0 && !std::exchange(is_warned_, true))
    log(LogLevel::warning, "{}: {} of its entries cannot be used: damaged, or of another version's form", escaped(path_),
        skipped);
  is_foreign_ = !found && (!text.empty() || file.bad());
  set_trouble(is_foreign_ ? escaped(path_) + ": is not a file of measurements; left unchanged" : "");
  if (!found) return;
  for (TuningRecord& mine : records_) {
    std::erase_if(*found, [&](const TuningRecord& old) { return old.machine == mine.machine && old.work == mine.work; });
    found->push_back(std::move(mine));
  }
  records_ = std::move(*found);
}

void TuningRecords::write() {
  std::error_code error;  // if the folder cannot be created, neither can the file, and its error says why
  std::filesystem::create_directories(std::filesystem::path(path_).parent_path(), error);
  try {
    const std::string text = text_of(records_);
    OutputFile file(path_);
    file.write(text.data(), text.size());
    file.finish();
    trouble_.clear();
  } catch (const Error& failed) {
    set_trouble(std::string(without_code(failed.what())));
  }
}

std::string tuning_file() {
  if (const char* const file = ::secure_getenv("LAMELLA_TUNING_FILE"); file != nullptr) return file;
  for (const auto& [variable, folder] : {std::pair("XDG_CACHE_HOME", ""), {"HOME", "/.cache"}}) {
    const char* const root = ::secure_getenv(variable);
    if (root != nullptr && root[0] == '/') return core::format("{}{}/lamella/tuning.json", root, folder);
  }
  return {};
}

}  // namespace lamella::core
