// SPDX-License-Identifier: Apache-2.0
#include "cli/tree.hpp"

#include "cli/words.hpp"

namespace lamella::cli {

VerbDoc doc_of(const CLI::App& app) {
  VerbDoc doc{app.get_name(), app.get_description(), app.get_footer(), {}};
  for (const CLI::Option* option : app.get_options()) {
    OptionDoc of;
    for (const std::string& name : option->get_snames()) of.names.push_back("-" + name);
    for (const std::string& name : option->get_lnames()) of.names.push_back("--" + name);
    if (of.names.empty()) of.positional = option->get_name(true);
    const bool is_flag = option->get_items_expected_max() == 0;
    if (!is_flag) of.type = option->get_type_name();
    if (!is_flag) of.words = words_of(*option);
    of.what = option->get_description();
    of.default_value = option->get_default_str();
    of.variable = option->get_envname();
    of.required = option->get_required();
    doc.options.push_back(std::move(of));
  }
  return doc;
}

std::vector<VerbDoc> verbs_of(const CLI::App& root) {
  std::vector<VerbDoc> verbs;
  for (const CLI::App* verb : root.get_subcommands([](const CLI::App*) { return true; })) verbs.push_back(doc_of(*verb));
  return verbs;
}

}  // namespace lamella::cli
