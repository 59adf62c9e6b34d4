// SPDX-License-Identifier: Apache-2.0
// completion: shell completions and the man page, generated from the parser's definitions.
#include <memory>

#include "cli/tree.hpp"
#include "cli/verbs.hpp"
#include "cli/words.hpp"

namespace lamella::cli {
namespace {

std::string spaced(const std::vector<std::string>& words) {
  std::string text;
  for (const std::string& word : words) text += (text.empty() ? "" : " ") + word;
  return text;
}

/// Quoted for a shell, in single quotes.
std::string shell_quoted(const std::string& text) {
  std::string quoted = "'";
  for (const char c : text) quoted += c == '\'' ? std::string("'\\''") : std::string(1, c);
  return quoted + "'";
}

/// Escaped for a specification of zsh's _arguments.
std::string zsh_text(const std::string& text) {
  std::string escaped;
  for (const char c : text) {
    if (c == '[' || c == ']' || c == ':' || c == '\\') escaped += '\\';
    escaped += c == '\'' ? std::string("'\\''") : std::string(1, c);
  }
  return escaped;
}

std::string zsh_values(const OptionDoc& option) {
  if (option.type.empty()) return "";
  if (!option.words.empty()) return ":value:(" + spaced(option.words) + ")";
  return option.takes_file() ? ":file:_files" : ":value: ";
}

std::string verb_names(const std::vector<VerbDoc>& verbs) {
  std::string names;
  for (const VerbDoc& verb : verbs) names += (names.empty() ? "" : " ") + verb.name;
  return names;
}

}  // namespace

std::string bash_completion(const std::vector<VerbDoc>& verbs) {
  std::string text =
      "# bash completion for lamella; made by: lamella completion bash\n"
      "_lamella() {\n"
      "  local current=${COMP_WORDS[COMP_CWORD]} before=${COMP_WORDS[COMP_CWORD-1]} verb=${COMP_WORDS[1]}\n"
      "  COMPREPLY=()\n"
      "  if [ \"$COMP_CWORD\" -eq 1 ]; then\n"
      "    COMPREPLY=($(compgen -W \"" +
      verb_names(verbs) +
      " --help --version\" -- \"$current\"))\n"
      "    return\n"
      "  fi\n"
      "  case $verb in\n";
  for (const VerbDoc& verb : verbs) {
    text += "    " + verb.name + ")\n";
    std::string names;
    std::string cases;
    std::string plain;
    for (const OptionDoc& option : verb.options) {
      names += option.names.empty() ? "" : (names.empty() ? "" : " ") + spaced(option.names);
      std::string pattern;
      for (const std::string& name : option.names) pattern += (pattern.empty() ? "" : "|") + name;
      if (!option.words.empty() && !option.names.empty())
        cases +=
            "        " + pattern + ") COMPREPLY=($(compgen -W \"" + spaced(option.words) + "\" -- \"$current\")); return ;;\n";
      else if (!option.type.empty() && !option.takes_file() && !option.names.empty())
        cases += "        " + pattern + ") return ;;\n";
      if (option.names.empty() && !option.words.empty()) plain += " " + spaced(option.words);
    }
    text += "      case $before in\n" + cases +
            "        *) ;;\n      esac\n      case $current in\n        -*) COMPREPLY=($(compgen -W \"" + names +
            "\" -- \"$current\")) ;;\n        *) COMPREPLY=($(compgen " +
            (plain.empty() ? "-f" : "-W \"" + plain.substr(1) + "\"") + " -- \"$current\")) ;;\n      esac ;;\n";
  }
  return text + "    *) ;;\n  esac\n}\ncomplete -o filenames -o bashdefault -F _lamella lamella\n";
}

std::string zsh_completion(const std::vector<VerbDoc>& verbs) {
  std::string text =
      "#compdef lamella\n# zsh completion for lamella; made by: lamella completion zsh\n"
      "_lamella() {\n  if (( CURRENT == 2 )); then\n    local -a verbs\n    verbs=(\n";
  for (const VerbDoc& verb : verbs) text += "      '" + verb.name + ":" + zsh_text(verb.what) + "'\n";
  text +=
      "    )\n    _describe 'verb' verbs\n    return\n  fi\n  local verb=$words[2]\n  shift words\n  (( CURRENT-- ))\n  case "
      "$verb in\n";
  for (const VerbDoc& verb : verbs) {
    text += "    " + verb.name + ")\n      _arguments";
    for (const OptionDoc& option : verb.options) {
      if (option.names.empty()) text += " \\\n        '*" + zsh_values(option) + "'";
      for (const std::string& name : option.names)
        text += " \\\n        '*" + name + "[" + zsh_text(option.what) + "]" + zsh_values(option) + "'";
    }
    text += " ;;\n";
  }
  return text + "  esac\n}\nif [ \"$funcstack[1]\" = _lamella ]; then _lamella \"$@\"; else compdef _lamella lamella; fi\n";
}

std::string fish_completion(const std::vector<VerbDoc>& verbs) {
  std::string text = "# fish completion for lamella; made by: lamella completion fish\ncomplete -c lamella -f\n";
  for (const VerbDoc& verb : verbs)
    text += "complete -c lamella -n __fish_use_subcommand -a " + verb.name + " -d " + shell_quoted(verb.what) + "\n";
  for (const VerbDoc& verb : verbs) {
    const std::string here = "complete -c lamella -n '__fish_seen_subcommand_from " + verb.name + "'";
    for (const OptionDoc& option : verb.options) {
      if (option.names.empty()) {
        text += here + (option.words.empty() ? " -F" : " -a " + shell_quoted(spaced(option.words))) + "\n";
        continue;
      }
      text += here;
      for (const std::string& name : option.names)
        text += name.starts_with("--") ? " -l " + name.substr(2) : " -s " + name.substr(1);
      if (!option.type.empty()) text += option.takes_file() ? " -r -F" : " -x";
      if (!option.words.empty()) text += " -a " + shell_quoted(spaced(option.words));
      text += " -d " + shell_quoted(option.what) + "\n";
    }
  }
  return text;
}

Registered add_completion(CLI::App& root) {
  auto page = std::make_shared<std::string>();
  CLI::App* app =
      root.add_subcommand("completion", "Print a shell's completion script, the man page, or the tables of docs/command.md");
  take_word(*app->add_option("PAGE", *page, "what to print")->required(), {"bash", "zsh", "fish", "man", "markdown"});
  app->footer(
      "  lamella completion bash >~/.local/share/bash-completion/completions/lamella\n"
      "  lamella completion man >/usr/local/share/man/man1/lamella.1");
  return {app, [page, &root] {
            const std::vector<VerbDoc> verbs = verbs_of(root);
            print(stdout, *page == "bash"   ? bash_completion(verbs)
                          : *page == "zsh"  ? zsh_completion(verbs)
                          : *page == "fish" ? fish_completion(verbs)
                          : *page == "man"  ? man_page(doc_of(root), verbs)
                                            : markdown(verbs));
            return kOk;
          }};
}

}  // namespace lamella::cli
