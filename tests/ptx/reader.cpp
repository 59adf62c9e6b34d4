// SPDX-License-Identifier: Apache-2.0
#include "tests/ptx/reader.hpp"

#include <algorithm>

namespace ptx {

std::unique_ptr<Program> read_kernel(const Module::Impl& module, const Function& kernel) {
  auto program = std::make_unique<Program>();
  program->name = kernel.name;
  program->globals = module.globals;
  Reader(module, *program).kernel(kernel);
  return program;
}

void Reader::kernel(const Function& function) {
  program_.most_threads = function.most_threads;
  program_.shared_bytes = module_.shared_bytes;
  Body body{Cursor(tokens_of(function.body, function.body_line), program_.name), Scopes(registers_)};
  for (const Variable& parameter : function.parameters)
    body.scopes.variable(parameter.name, {Space::parameter, place(program_.parameter_bytes, parameter)});
  // Shared memory sized by the launch comes after all that has a size, which is known only at the end of the body, so
  // declarations are read first.
  Cursor shared(tokens_of(function.body, function.body_line), program_.name);
  while (!shared.done()) {
    if (shared.next().text != ".shared") continue;
    const Variable variable = variable_of(shared);
    body.scopes.variable(variable.name, {Space::shared, place(program_.shared_bytes, variable)});
  }
  program_.dynamic_shared = (program_.shared_bytes + 15) / 16 * 16;
  for (const std::string& name : module_.dynamic_shared) body.scopes.variable(name, {Space::shared, program_.dynamic_shared});
  this->body(body, false);
}

void Reader::body(Body& body, bool called) {
  while (!body.cursor.done()) statement(body, called);
  if (!called) {  // a body may end without ret
    Instruction in;
    in.flow = Flow::end;
    in.text = "}";
    program_.code.push_back(in);
  }
  body.labels.try_emplace("", static_cast<std::uint32_t>(program_.code.size()));
  for (const Body::Jump& jump : body.jumps) {
    const auto found = body.labels.find(jump.label);
    if (found == body.labels.end()) body.cursor.fail("no label " + jump.label);
    program_.code[jump.instruction].targets.push_back(found->second);
  }
}

void Reader::statement(Body& body, bool called) {
  Cursor& cursor = body.cursor;
  if (cursor.take("{")) return body.scopes.open();
  if (cursor.take("}")) return body.scopes.close();
  if (cursor.take(";")) return;
  if (cursor.is(":", 1)) {
    const std::string label(cursor.next().text);
    cursor.next();
    body.labels[label] = static_cast<std::uint32_t>(program_.code.size());
    if (!cursor.take(".branchtargets")) return;
    do {
      body.tables[label].emplace_back(cursor.next().text);
    } while (cursor.take(","));
    return cursor.expect(";");
  }
  if (cursor.take(".reg")) return body.scopes.registers(cursor);
  if (cursor.take(".local") || cursor.take(".param")) return declare(body, Space::local);
  if (cursor.is(".shared") || cursor.is(".pragma")) return cursor.skip_past(";");
  if (cursor.peek().text.front() == '.') cursor.fail("a directive that is not known");
  instruction(body, called);
}

/// Parameters of calls are local memory of the thread, like local variables.
void Reader::declare(Body& body, Space space) {
  const Variable variable = variable_of(body.cursor);
  body.scopes.variable(variable.name, {space, place(program_.local_bytes, variable)});
  body.cursor.expect(";");
}

void Reader::instruction(Body& body, bool called) {
  Cursor& cursor = body.cursor;
  Instruction in;
  in.line = cursor.peek().line;
  in.text = cursor.statement();
  if (cursor.take("@")) {
    in.guarded = true;
    in.negated = cursor.take("!");
    const Slot* guard = body.scopes.register_of(cursor.peek().text);
    if (guard == nullptr || guard->width != 0) cursor.fail("expected a predicate");
    in.guard = *guard;
    cursor.next();
  }
  const Token opcode = cursor.next();
  if (control(body, opcode.text, in, called)) return;
  const Operands given = operands(body, in);
  const bool packs = !given.braces.empty() && opcode.text.substr(0, 4) == "mov.";
  const std::string name = std::string(opcode.text) + (packs ? given.braces : "");
  const Form* form = form_of(name);
  if (form == nullptr) cursor.fail("unknown instruction " + name);
  program_.lets_next_begin = program_.lets_next_begin || name == "griddepcontrol.launch_dependents";
  program_.has_clusters = program_.has_clusters || form->flow == Flow::cluster;
  in.run = form->run;
  in.flow = form->flow;
  in.memory = form->memory;
  in.address.space = form->memory.space;
  if (in.address.space == Space::parameter && given.place != nullptr) in.address.space = given.place->space;
  in.source.space = Space::global;
  bind(body, *form, given.all, in);
  cursor.expect(";");
  program_.code.push_back(std::move(in));
}

bool Reader::control(Body& body, std::string_view opcode, Instruction& in, bool called) {
  Cursor& cursor = body.cursor;
  if (opcode == "bra" || opcode == "bra.uni") {
    in.flow = Flow::branch;
    jump(body, in, {std::string(cursor.next().text)});
  } else if ((opcode == "ret" || opcode == "ret.uni") && called) {
    in.flow = Flow::branch;
    jump(body, in, {""});
  } else if (opcode == "ret" || opcode == "ret.uni" || opcode == "exit") {
    in.flow = Flow::end;
    program_.code.push_back(in);
  } else if (opcode == "brx.idx" || opcode == "brx.idx.uni") {
    in.flow = Flow::table;
    in.from.push(slot_of(body, operand(body), Role::b32, {}));
    cursor.expect(",");
    const auto table = body.tables.find(cursor.peek().text);
    if (table == body.tables.end()) cursor.fail("no branch targets");
    cursor.next();
    jump(body, in, table->second);
  } else if (opcode == "call" || opcode == "call.uni") {
    if (in.guarded) cursor.fail("a call under a predicate");
    call(body);
  } else {
    return false;
  }
  cursor.expect(";");
  return true;
}

void Reader::jump(Body& body, const Instruction& in, const std::vector<std::string>& labels) {
  for (const std::string& label : labels) body.jumps.push_back({static_cast<std::uint32_t>(program_.code.size()), label});
  program_.code.push_back(in);
}

/// call (result), function, (argument, ...): the function's parameters are names of the arguments' memory.
void Reader::call(Body& body) {
  Cursor& cursor = body.cursor;
  const auto names = [&] {
    std::vector<std::string> result;
    cursor.expect("(");
    while (!cursor.take(")")) {
      result.emplace_back(cursor.next().text);
      cursor.take(",");
    }
    return result;
  };
  std::vector<std::string> results;
  if (cursor.is("(")) {
    results = names();
    cursor.expect(",");
  }
  const auto function = module_.functions.find(cursor.peek().text);
  if (function == module_.functions.end() || function->second.body.empty()) cursor.fail("a call of what is not in the module");
  if (++depth_ > 16) cursor.fail("calls that are too deep");
  cursor.next();
  const std::vector<std::string> arguments = cursor.take(",") ? names() : std::vector<std::string>();
  Body inner{Cursor(tokens_of(function->second.body, function->second.body_line), program_.name), Scopes(registers_)};
  const auto bind_names = [&](const std::vector<Variable>& formal, const std::vector<std::string>& given) {
    if (formal.size() != given.size()) cursor.fail("a call with another number of parameters");
    for (std::size_t i = 0; i < formal.size(); ++i) {
      const Place* place = place_of(body, given[i]);
      if (place == nullptr) cursor.fail("no parameter " + given[i]);
      inner.scopes.variable(formal[i].name, *place);
    }
  };
  bind_names(function->second.results, results);
  bind_names(function->second.parameters, arguments);
  this->body(inner, true);
  --depth_;
}

}  // namespace ptx
