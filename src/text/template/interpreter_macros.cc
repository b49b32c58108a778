#include <algorithm>
#include <utility>

#include "text/template/interpreter.h"
#include "text/template/iteration.h"

namespace pelton::jinja {

// A macro, or the body of a call block, with the frame that it was made in.
class MacroObject : public HostObject {
 public:
  MacroObject(const Stmt& stmt, Frame* closure) : stmt_(stmt), closure_(closure) {}

  std::string_view type_name() const override { return "Macro"; }
  bool callable() const override { return true; }

  Result<Value> Call(Interpreter& vm, Arguments& arguments) override {
    return vm.CallMacro(stmt_, closure_, arguments);
  }

  Result<Value> GetAttribute(Interpreter& vm, const Value&, std::string_view name) override {
    if (name == "name") return stmt_.text.empty() ? Value() : vm.NewString(std::string(stmt_.text));
    if (name == "catch_kwargs") return Value::Bool(stmt_.kwargs_index >= 0);
    if (name == "catch_varargs") return Value::Bool(stmt_.varargs_index >= 0);
    if (name == "caller") return Value::Bool(stmt_.caller_index >= 0);
    if (name != "arguments") return Value::Missing();
    std::vector<Value> names;
    names.reserve(stmt_.parameters.size());
    for (const Stmt::Parameter& parameter : stmt_.parameters) {
      names.push_back(vm.NewString(std::string(parameter.target->name)));
    }
    return vm.NewTuple(std::move(names));
  }

 private:
  const Stmt& stmt_;
  Frame* closure_;  // stays while the rendering lasts, because it is marked as captured
};

Value Interpreter::MakeMacro(const Stmt& stmt) {
  return Adopt(Kind::kObject, std::make_shared<MacroObject>(stmt, frame_), sizeof(MacroObject));
}

Result<Value> Interpreter::CallMacro(const Stmt& stmt, Frame* closure, Arguments& arguments) {
  std::string text;
  const CaptureScope capture(*this, text);
  Frame* before = std::exchange(frame_, closure);
  Result<Flow> flow = [&]() -> Result<Flow> {
    RETURN_IF_ERROR(Step(kStatementTicks + stmt.frame.variables.size()));
    FrameScope scope(*this, stmt.frame, closure);
    RETURN_IF_ERROR(BindMacroArguments(stmt, scope.frame(), arguments));
    return RunBody(stmt.body);
  }();
  frame_ = before;
  if (!flow.ok()) return flow.status();
  return NewString(std::move(text));
}

// Source: Jinja2 runtime.py, Macro.__call__.
Status Interpreter::BindMacroArguments(const Stmt& stmt, Frame& frame, Arguments& arguments) {
  const auto take_named = [&](std::string_view name) -> Value {
    const auto it = std::find_if(arguments.named.begin(), arguments.named.end(),
                                 [&](const auto& entry) { return entry.first == name; });
    if (it == arguments.named.end()) return Value::Missing();
    Value value = std::move(it->second);
    arguments.named.erase(it);
    return value;
  };
  const std::string macro = stmt.text.empty() ? "the caller" : "'" + std::string(stmt.text) + "'";
  const size_t num_parameters = stmt.parameters.size();
  const size_t num_positional = std::min(arguments.positional.size(), num_parameters);
  RETURN_IF_ERROR(Step(1 + num_parameters * (1 + arguments.named.size() / 8)));
  for (size_t i = 0; i < num_parameters; ++i) {
    const Stmt::Parameter& parameter = stmt.parameters[i];
    SlotAt(parameter.target->slot) =
        i < num_positional ? arguments.positional[i] : take_named(parameter.target->name);
  }
  if (stmt.caller_index >= 0) {
    Value caller = take_named("caller");
    if (caller.is_missing() || caller.is_none()) caller = MakeUndefined("No caller defined");
    frame.slots[static_cast<size_t>(stmt.caller_index)] = std::move(caller);
  }
  if (stmt.kwargs_index >= 0) {
    std::vector<DictObject::Entry> rest;
    rest.reserve(arguments.named.size());
    for (auto& [name, value] : arguments.named) rest.push_back({NewString(name), value});
    frame.slots[static_cast<size_t>(stmt.kwargs_index)] = NewDict(std::move(rest));
  } else if (!arguments.named.empty()) {
    return RuntimeError("macro " + macro + " has no parameter '" + arguments.named[0].first + "'");
  }
  const auto extra = arguments.positional.begin() + static_cast<std::ptrdiff_t>(num_positional);
  if (stmt.varargs_index >= 0) {
    frame.slots[static_cast<size_t>(stmt.varargs_index)] =
        NewTuple(std::vector<Value>(extra, arguments.positional.end()));
  } else if (extra != arguments.positional.end()) {
    return RuntimeError("macro " + macro + " takes not more than " +
                        std::to_string(num_parameters) + " arguments");
  }
  for (const Stmt::Parameter& parameter : stmt.parameters) {
    if (!SlotAt(parameter.target->slot).is_missing()) continue;
    Value value;
    if (parameter.value != nullptr) {
      ASSIGN_OR_RETURN(value, Evaluate(*parameter.value));
    } else {
      value =
          MakeUndefined("parameter '" + std::string(parameter.target->name) + "' was not provided");
    }
    SlotAt(parameter.target->slot) = std::move(value);
  }
  return OkStatus();
}

Status Interpreter::RunCallBlock(const Stmt& stmt) {
  const Value caller = MakeMacro(stmt);
  if (!caller.is(Kind::kObject)) return failure();
  Value result;
  if (stmt.value == nullptr) {  // {% generation %}
    Arguments none;
    ASSIGN_OR_RETURN(result, Call(caller, none));
  } else {
    ASSIGN_OR_RETURN(result, EvaluateCall(*stmt.value, &caller));
  }
  // Only a caller that the callee has kept needs this frame after the block.
  if (caller.object().use_count() > 1) MarkCaptured(frame_);
  return Print(result);
}

}  // namespace pelton::jinja
