// SPDX-License-Identifier: Apache-2.0
#include "cli/verbs.hpp"

int main(int argc, char** argv) {
  using namespace lamella::cli;
  constexpr AddVerb kVerbs[] = {add_predict, add_summary, add_explain, add_verify, add_info, add_bench};
  return run_command(argc, argv, kVerbs);
}
