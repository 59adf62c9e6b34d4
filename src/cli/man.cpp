// SPDX-License-Identifier: Apache-2.0
#include <sstream>

#include "cli/tree.hpp"

namespace lamella::cli {
namespace {

/// Escaped for roff: nothing is taken for a request, and hyphens stay hyphens.
std::string roff(const std::string& text) {
  std::string escaped;
  for (const char c : text) {
    if (c == '\\')
      escaped += "\\e";
    else if (c == '-')
      escaped += "\\-";
    else
      escaped += c;
  }
  return escaped.starts_with('.') || escaped.starts_with('\'') ? "\\&" + escaped : escaped;
}

/// Preformatted lines.
std::string verbatim(const std::string& text) {
  if (text.empty()) return "";
  std::string result = ".PP\n.nf\n";
  std::istringstream lines(text);
  for (std::string line; std::getline(lines, line);) result += (line.empty() ? "\\&" : roff(line)) + "\n";
  return result + ".fi\n";
}

std::string item(const OptionDoc& option) {
  std::string head;
  for (const std::string& name : option.names) head += (head.empty() ? "" : ", ") + std::string("\\fB") + roff(name) + "\\fR";
  if (head.empty()) head = "\\fI" + roff(option.positional) + "\\fR";
  if (!option.type.empty() && !option.names.empty()) head += " \\fI" + roff(option.type) + "\\fR";
  std::string text = ".TP\n" + head + "\n" + roff(option.what);
  if (!option.default_value.empty()) text += " (default: " + roff(option.default_value) + ")";
  if (!option.variable.empty()) text += " (environment: " + roff(option.variable) + ")";
  if (option.required && !option.names.empty()) text += " (required)";
  return text + "\n";
}

}  // namespace

std::string man_page(const VerbDoc& root, const std::vector<VerbDoc>& verbs) {
  std::string text = ".TH LAMELLA 1 \"\" \"lamella " + std::string(LAMELLA_VERSION) +
                     "\" \"User Commands\"\n.SH NAME\nlamella \\- " + roff(root.what) +
                     "\n.SH SYNOPSIS\n\\fBlamella\\fR \\fIVERB\\fR [\\fIOPTIONS\\fR] [\\fIFILES\\fR]\n.SH VERBS\n";
  for (const VerbDoc& verb : verbs) {
    text += ".SS " + roff(verb.name) + "\n" + roff(verb.what) + ".\n";
    for (const OptionDoc& option : verb.options) text += item(option);
    text += verbatim(verb.footer);
  }
  return text + ".SH NOTES\n" + verbatim(root.footer);
}

std::string markdown(const std::vector<VerbDoc>& verbs) {
  const auto cell = [](const std::string& text) {
    std::string escaped;
    for (const char c : text) escaped += c == '|' ? std::string("\\|") : std::string(1, c);
    return escaped;
  };
  std::string text;
  for (const VerbDoc& verb : verbs) {
    text += "### lamella " + verb.name + "\n\n" + verb.what + ".\n\n| option | takes | what it is |\n|---|---|---|\n";
    for (const OptionDoc& option : verb.options) {
      std::string names;
      for (const std::string& name : option.names) names += (names.empty() ? "`" : ", `") + name + "`";
      std::string what = option.what;
      if (!option.default_value.empty()) what += " (default: " + option.default_value + ")";
      if (!option.variable.empty()) what += " (environment: " + option.variable + ")";
      if (option.required) what += " (required)";
      text += "| " + (names.empty() ? "`" + option.positional + "`" : names) + " | " + cell(option.type) + " | " + cell(what) +
              " |\n";
    }
    text += verb.footer.empty() ? "\n" : "\n```text\n" + verb.footer + "\n```\n\n";
  }
  return text;
}

}  // namespace lamella::cli
