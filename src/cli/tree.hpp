// SPDX-License-Identifier: Apache-2.0
// The verbs and options that CLI11 has, to generate completions, the man page and docs/command.md.
#pragma once

#include <CLI/CLI.hpp>
#include <string>
#include <vector>

namespace lamella::cli {

struct OptionDoc {
  std::vector<std::string> names;  ///< "-i", "--input"; none for a positional
  std::string positional;          ///< "MODEL"
  std::string type;                ///< "FILE"; empty: a flag
  std::vector<std::string> words;  ///< the words it accepts; empty: not limited to a list
  std::string what;
  std::string default_value;
  std::string variable;  ///< environment variable
  bool required = false;
  [[nodiscard]] bool takes_file() const { return type.find("FILE") != std::string::npos; }
};
struct VerbDoc {
  std::string name;
  std::string what;
  std::string footer;
  std::vector<OptionDoc> options;
};
[[nodiscard]] VerbDoc doc_of(const CLI::App& app);
[[nodiscard]] std::vector<VerbDoc> verbs_of(const CLI::App& root);

/// Scripts for the shells, and the pages.
[[nodiscard]] std::string bash_completion(const std::vector<VerbDoc>& verbs);
[[nodiscard]] std::string zsh_completion(const std::vector<VerbDoc>& verbs);
[[nodiscard]] std::string fish_completion(const std::vector<VerbDoc>& verbs);
[[nodiscard]] std::string man_page(const VerbDoc& root, const std::vector<VerbDoc>& verbs);
/// The tables of docs/command.md.
[[nodiscard]] std::string markdown(const std::vector<VerbDoc>& verbs);

}  // namespace lamella::cli
