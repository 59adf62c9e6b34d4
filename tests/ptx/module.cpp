// SPDX-License-Identifier: Apache-2.0
#include <algorithm>
#include <cstring>

#include "tests/ptx/declarations.hpp"

namespace ptx {
namespace {

/// Top-level statements, one after another: a declaration up to its semicolon, a function up to its last brace.
class Statements {
 public:
  explicit Statements(std::string_view text) : text_(text) {}

  /// Reads the next statement, the position of its body's brace (or npos), and its first line; false at the end.
  bool next(std::string_view& statement, std::size_t& brace, int& line) {
    for (std::size_t skipped = blank(); at_ < text_.size() && skipped > 0; skipped = blank()) pass(skipped);
    if (at_ >= text_.size()) return false;
    line = line_;
    brace = std::string_view::npos;
    const std::size_t begin = at_;
    const bool directive = starts(".version") || starts(".target") || starts(".address_size");
    int depth = 0;
    bool function = false;
    while (at_ < text_.size()) {
      if (const std::size_t skipped = blank(); skipped > 0) {
        if (directive && text_.substr(at_, skipped).find('\n') != std::string_view::npos) break;
        pass(skipped);
        continue;
      }
      if (depth > 0) pass(inside());
      if (at_ >= text_.size()) break;
      if (blank() > 0) continue;
      const char c = text_[at_];
      function = function || (depth == 0 && (starts(".entry") || starts(".func")));
      if (c == '{' && depth++ == 0) brace = at_ - begin;
      pass(1);
      if ((c == '}' && --depth == 0 && function) || (c == ';' && depth == 0)) break;
    }
    statement = text_.substr(begin, at_ - begin);
    if (!function) brace = std::string_view::npos;
    return true;
  }

 private:
  [[nodiscard]] bool starts(std::string_view word) const { return text_.substr(at_, word.size()) == word; }
  /// The number of characters of a comment, string or white space at this place.
  [[nodiscard]] std::size_t blank() const {
    const auto up_to = [&](std::string_view end, std::size_t from) {
      const std::size_t found = text_.find(end, at_ + from);
      return (found == std::string_view::npos ? text_.size() : found + end.size()) - at_;
    };
    if (starts("//")) return up_to("\n", 2);
    if (starts("/*")) return up_to("*/", 2);
    if (starts("\"")) return up_to("\"", 1);
    return at_ < text_.size() && std::strchr(" \t\r\n", text_[at_]) != nullptr ? 1 : 0;
  }
  /// The number of characters from here that have no meaning within braces.
  [[nodiscard]] std::size_t inside() const {
    const char* at = text_.data() + at_;
    const char* const end = text_.data() + text_.size();
    while (at < end && *at != '{' && *at != '}' && *at != '"' && *at != '/') ++at;
    return static_cast<std::size_t>(at - text_.data()) - at_;
  }
  void pass(std::size_t characters) {
    const auto from = text_.begin() + static_cast<std::ptrdiff_t>(at_);
    line_ += static_cast<int>(std::count(from, from + static_cast<std::ptrdiff_t>(characters), '\n'));
    at_ += characters;
  }

  std::string_view text_;
  std::size_t at_ = 0;
  int line_ = 1;
};

std::vector<Variable> variables_of(Cursor& cursor) {
  std::vector<Variable> result;
  if (!cursor.take("(")) return result;
  while (!cursor.take(")")) {
    cursor.expect(".param");
    result.push_back(variable_of(cursor));
    cursor.take(",");
  }
  return result;
}

Function function_of(Cursor& cursor) {
  Function function;
  while (!cursor.is(".entry") && !cursor.is(".func")) cursor.next();
  function.is_kernel = cursor.next().text == ".entry";
  function.results = variables_of(cursor);
  function.name = std::string(cursor.next().text);
  function.parameters = variables_of(cursor);
  for (; !cursor.done(); cursor.next()) {
    if (!cursor.is(".maxntid")) continue;
    cursor.next();
    function.most_threads = 1;
    do {
      std::uint64_t extent = 0;
      if (!number_of(cursor.next().text, false, 8, extent)) cursor.fail("expected a number of threads");
      function.most_threads *= static_cast<unsigned>(extent);
    } while (cursor.take(","));
    if (cursor.done()) break;
  }
  return function;
}

void declare(Module::Impl& module, Cursor& cursor) {
  while (cursor.is(".visible") || cursor.is(".extern") || cursor.is(".weak") || cursor.is(".common")) cursor.next();
  const std::string_view space = cursor.next().text;
  if (space == ".file" || space == ".pragma" || space == ".alias") return;
  const Variable variable = variable_of(cursor);
  if (space == ".shared") {
    if (variable.bytes == 0) {
      module.dynamic_shared.push_back(variable.name);
    } else {
      module.places[variable.name] = {Space::shared, place(module.shared_bytes, variable)};
    }
    return;
  }
  if (space != ".global" && space != ".const") cursor.fail("a declaration that is not known");
  std::vector<std::uint64_t>& storage = module.storage.emplace_back((variable.bytes + 15) / 8);
  const auto address = (reinterpret_cast<std::uintptr_t>(storage.data()) + 7) / 8 * 8;
  for (std::size_t i = 0; i < variable.values.size(); ++i)
    std::memcpy(reinterpret_cast<unsigned char*>(address) + i * variable.element, &variable.values[i], variable.element);
  module.places[variable.name] = {Space::global, address};
  module.globals.emplace_back(address, variable.bytes);
}

}  // namespace

Module::Module(std::shared_ptr<Impl> impl) : impl_(std::move(impl)) {}

Module Module::parse(std::string text) {
  auto impl = std::make_shared<Impl>();
  impl->text = std::move(text);
  Statements statements(impl->text);
  std::string_view statement;
  std::size_t brace = 0;
  for (int line = 0; statements.next(statement, brace, line);) {
    Cursor cursor(tokens_of(statement.substr(0, brace), line), "module");
    if (cursor.is(".target")) {
      cursor.next();
      impl->target = std::string(cursor.next().text);
    } else if (cursor.is(".version") || cursor.is(".address_size")) {
      continue;
    } else if (brace != std::string_view::npos) {
      Function function = function_of(cursor);
      function.body = statement.substr(brace + 1, statement.size() - brace - 2);
      function.body_line =
          line + static_cast<int>(std::count(statement.begin(), statement.begin() + static_cast<std::ptrdiff_t>(brace), '\n'));
      impl->functions[function.name] = std::move(function);
    } else if (statement.find(".func") == std::string_view::npos) {
      declare(*impl, cursor);
    }
  }
  return Module(std::move(impl));
}

std::vector<std::string> Module::kernels() const {
  std::vector<std::string> names;
  for (const auto& [name, function] : impl_->functions) {
    if (function.is_kernel) names.push_back(name);
  }
  return names;
}

std::vector<Parameter> Module::parameters(std::string_view kernel) const {
  const auto found = impl_->functions.find(kernel);
  if (found == impl_->functions.end()) throw std::out_of_range("no kernel " + std::string(kernel));
  std::vector<Parameter> result;
  std::size_t end = 0;
  for (const Variable& variable : found->second.parameters) result.push_back({place(end, variable), variable.bytes});
  return result;
}

std::string_view Module::target() const { return impl_->target; }

const Program& Module::program(std::string_view kernel) const {
  const std::lock_guard lock(impl_->mutex);
  const auto known = impl_->programs.find(kernel);
  if (known != impl_->programs.end()) return *known->second;
  const auto found = impl_->functions.find(kernel);
  if (found == impl_->functions.end() || !found->second.is_kernel) throw std::out_of_range("no kernel " + std::string(kernel));
  return *impl_->programs.emplace(found->first, read_kernel(*impl_, found->second)).first->second;
}

}  // namespace ptx
