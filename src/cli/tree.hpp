// SPDX-License-Identifier: Apache-2.0
// The verbs and options as CLI11 has them, for what is written of them: completions, the man page, docs/command.md.
#pragma once

#include <CLI/CLI.hpp>
#include <string>
#include <vector>

namespace lamella::cli {

struct OptionDoc {
  std::vector<std::string> names;  ///< "-i", "--input"; of a positional none
  std::string positional;          ///< "MODEL"
  std::string type;                ///< "FILE"; empty: a flag
  std::vector<std::string> words;  ///< that it takes; none: it takes others too
  std::string what;
  std::string default_value;
  std::string variable;  ///< of the environment
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
