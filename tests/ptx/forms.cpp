// SPDX-License-Identifier: Apache-2.0
#include "tests/ptx/lanewise.hpp"

namespace ptx {

const Form* form_of(std::string_view opcode) {
  static const Table forms = [] {
    Table table;
    integer_forms(table);
    bit_forms(table);
    float_forms(table);
    directed_forms(table);
    approximate_forms(table);
    compare_forms(table);
    move_forms(table);
    convert_forms(table);
    memory_forms(table);
    exchange_forms(table);
    copy_forms(table);
    matrix_forms(table);
    cluster_forms(table);
    return table;
  }();
  const auto found = forms.find(std::string(opcode));
  return found == forms.end() ? nullptr : &found->second;
}

}  // namespace ptx
