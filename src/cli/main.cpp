// SPDX-License-Identifier: Apache-2.0
#include "cli/run.hpp"

int main(int argc, char** argv) {
  using namespace lamella::cli;
  constexpr AddVerb kVerbs[] = {add_predict, add_verify,  add_summary, add_explain, add_profile,   add_tune,
                                add_bench,   add_convert, add_layers,  add_info,    add_completion};
  return run_command(argc, argv, kVerbs);
}
