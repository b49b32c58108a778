#include "text/template/interpreter.h"

#include <utility>

#include "base/check.h"
#include "text/template/globals.h"
#include "text/template/iteration.h"
#include "text/template/loop_object.h"
#include "text/template/printing.h"

// The interpreter's frames and simple statements. Loops are in interpreter_loops.cc, macros in
// interpreter_macros.cc, expressions in evaluate.cc.
namespace pelton::jinja {

Interpreter::Interpreter(const Program& program, const Value& variables,
                         const RenderOptions& options)
    : RenderContext(options.limits),
      program_(program),
      variables_(variables),
      options_(options),
      random_state_(options.random_seed) {}

Interpreter::~Interpreter() {
  // Namespaces may point at each other: their contents go before any of them does.
  for (const auto& space : namespaces_) space->Clear();
}

Result<std::string> Interpreter::Run() {
  std::string text;
  const CaptureScope capture(*this, text);
  const FrameScope scope(*this, program_.root, nullptr);
  root_frame_ = frame_;
  ASSIGN_OR_RETURN(const Flow flow, RunBody(program_.body));
  PELTON_CHECK(flow == Flow::kNext, "the scope analysis keeps break and continue inside loops");
  RETURN_IF_ERROR(Step(0));  // a value over a limit fails only here
  return text;
}

Interpreter::FrameScope::FrameScope(Interpreter& vm, const FrameLayout& layout, Frame* parent)
    : vm_(vm), frame_(vm.AcquireFrame(layout.variables.size())), before_(vm.frame_) {
  frame_->parent = parent;
  vm.Load(layout, *frame_);
  vm.frame_ = frame_;
}

Interpreter::FrameScope::~FrameScope() {
  vm_.frame_ = before_;
  vm_.ReleaseFrame(frame_);
}

Frame* Interpreter::AcquireFrame(size_t num_slots) {
  Frame* frame = nullptr;
  if (free_frames_.empty()) {
    frames_.push_back(std::make_unique<Frame>());
    frame = frames_.back().get();
  } else {
    frame = free_frames_.back();
    free_frames_.pop_back();
  }
  frame->slots.assign(num_slots, Value::Missing());
  return frame;
}

void Interpreter::ReleaseFrame(Frame* frame) {
  // A macro that outlives its frame finds the variables unset, as in the reference.
  frame->slots.assign(frame->slots.size(), Value::Missing());
  if (frame->captured) {
    Hold(sizeof(Frame) + frame->slots.capacity() * sizeof(Value));
    return;
  }
  free_frames_.push_back(frame);
}

void Interpreter::MarkCaptured(Frame* frame) {
  for (; frame != nullptr && !frame->captured; frame = frame->parent) frame->captured = true;
}

void Interpreter::Load(const FrameLayout& layout, Frame& frame) {
  for (size_t i = 0; i < layout.variables.size(); ++i) {
    const FrameLayout::Variable& variable = layout.variables[i];
    switch (variable.load) {
      case Load::kResolve:
        frame.slots[i] = ResolveName(variable.name, layout.detached);
        break;
      case Load::kAlias: {
        const Frame* outer = &frame;
        for (uint32_t hop = 0; hop < variable.outer.hops; ++hop) outer = outer->parent;
        frame.slots[i] = outer->slots[variable.outer.index];
        break;
      }
      case Load::kUnset:
        frame.slots[i] = Value::Missing();
        break;
      case Load::kNone:
      case Load::kParameter:
        break;
    }
  }
}

Value Interpreter::ResolveName(std::string_view name, bool detached) const {
  if (detached && root_frame_ != nullptr) {
    // A block reads what the template around it has set.
    const auto it = program_.stored_root_names.find(name);
    if (it != program_.stored_root_names.end() && !root_frame_->slots[it->second].is_missing()) {
      return root_frame_->slots[it->second];
    }
  }
  if (const Value* value = variables_.dict().Find(name)) return *value;
  return FindGlobal(name);
}

Value& Interpreter::SlotAt(Slot slot) {
  Frame* frame = frame_;
  for (uint32_t hop = 0; hop < slot.hops; ++hop) frame = frame->parent;
  return frame->slots[slot.index];
}

Namespace* Interpreter::NewNamespace() {
  namespaces_.push_back(std::make_unique<Namespace>());
  Hold(sizeof(Namespace));
  return namespaces_.back().get();
}

uint64_t Interpreter::NextRandom() {
  // SplitMix64: enough for a choice, and the same on every machine.
  uint64_t z = random_state_ += 0x9E3779B97F4A7C15;
  z = (z ^ z >> 30) * 0xBF58476D1CE4E5B9;
  z = (z ^ z >> 27) * 0x94D049BB133111EB;
  return z ^ z >> 31;
}

Status Interpreter::PrintText(std::string_view text) {
  out_->append(text);
  RETURN_IF_ERROR(CheckOutput(out_->size()));
  return Charge(text.size());
}

Status Interpreter::Print(const Value& value) {
  if (value.is_string()) return PrintText(value.text());
  if (value.is_undefined()) return OkStatus();
  ASSIGN_OR_RETURN(const std::string text, TextOf(*this, value));
  return PrintText(text);
}

Result<Interpreter::Flow> Interpreter::RunBody(const StmtList& body) {
  for (const StmtPtr& stmt : body) {
    if (stmt->kind == StmtKind::kText) {
      set_line(stmt->line);
      RETURN_IF_ERROR(Step(kStatementTicks));
      RETURN_IF_ERROR(PrintText(stmt->text));
      continue;
    }
    ASSIGN_OR_RETURN(const Flow flow, RunStmt(*stmt));
    if (flow != Flow::kNext) return flow;
  }
  return Flow::kNext;
}

Result<Interpreter::Flow> Interpreter::RunStmt(const Stmt& stmt) {
  RETURN_IF_ERROR(Step(kStatementTicks));
  set_line(stmt.line);
  if (eval_depth_ >= kMaxEvalDepth) {
    return Error(TemplateErrorKind::kLimit, "the template is nested too deeply");
  }
  ++eval_depth_;
  Result<Flow> flow = [&]() -> Result<Flow> {
    switch (stmt.kind) {
      case StmtKind::kOutput: {
        ASSIGN_OR_RETURN(const Value value, Evaluate(*stmt.value));
        RETURN_IF_ERROR(Print(value));
        return Flow::kNext;
      }
      case StmtKind::kFor:
        return RunFor(stmt);
      case StmtKind::kIf:
        return RunIf(stmt);
      case StmtKind::kSet:
        RETURN_IF_ERROR(RunSet(stmt));
        return Flow::kNext;
      case StmtKind::kSetBlock:
      case StmtKind::kFilterBlock:
        return RunCaptured(stmt);
      case StmtKind::kWith:
        return RunWith(stmt);
      case StmtKind::kScope: {
        const FrameScope scope(*this, stmt.frame, frame_);
        return RunBody(stmt.body);
      }
      case StmtKind::kBlock: {
        const FrameScope scope(*this, stmt.frame, nullptr);
        return RunBody(stmt.body);
      }
      case StmtKind::kMacro:
        SlotAt(stmt.slot) = MakeMacro(stmt);
        MarkCaptured(frame_);
        return Flow::kNext;
      case StmtKind::kCallBlock:
        RETURN_IF_ERROR(RunCallBlock(stmt));
        return Flow::kNext;
      case StmtKind::kBreak:
        return Flow::kBreak;
      case StmtKind::kContinue:
        return Flow::kContinue;
      case StmtKind::kUnavailable:
        return RuntimeError("'" + std::string(stmt.text) +
                            "' needs another template, and a chat template stands alone");
      case StmtKind::kText:
        break;
    }
    return Flow::kNext;
  }();
  --eval_depth_;
  return flow;
}

Result<Interpreter::Flow> Interpreter::RunIf(const Stmt& stmt) {
  for (const Stmt::Branch& branch : stmt.branches) {
    ASSIGN_OR_RETURN(const Value test, Evaluate(*branch.test));
    if (IsTruthy(test)) return RunBody(branch.body);
  }
  return RunBody(stmt.otherwise);
}

// A body whose output is not printed but filtered, or set as a variable.
Result<Interpreter::Flow> Interpreter::RunCaptured(const Stmt& stmt) {
  std::string text;
  Value result;
  {
    const FrameScope scope(*this, stmt.frame, frame_);
    {
      const CaptureScope capture(*this, text);
      ASSIGN_OR_RETURN(const Flow flow, RunBody(stmt.body));
      if (flow != Flow::kNext) return flow;
    }
    result = NewString(std::move(text));
    if (stmt.value != nullptr) {
      const Value input = result;
      const Value* before = std::exchange(block_input_, &input);
      Result<Value> filtered = Evaluate(*stmt.value);
      block_input_ = before;
      ASSIGN_OR_RETURN(result, std::move(filtered));
    }
  }
  if (stmt.kind == StmtKind::kFilterBlock) {
    RETURN_IF_ERROR(Print(result));
  } else {
    RETURN_IF_ERROR(Assign(*stmt.target, std::move(result)));
  }
  return Flow::kNext;
}

Result<Interpreter::Flow> Interpreter::RunWith(const Stmt& stmt) {
  Frame* outer = frame_;
  const FrameScope scope(*this, stmt.frame, outer);
  Frame* inner = frame_;
  for (const Stmt::Parameter& parameter : stmt.parameters) {
    frame_ = outer;  // the values do not see the names
    Result<Value> value = Evaluate(*parameter.value);
    frame_ = inner;
    if (!value.ok()) return value.status();
    RETURN_IF_ERROR(Assign(*parameter.target, std::move(value).value()));
  }
  return RunBody(stmt.body);
}

Status Interpreter::RunSet(const Stmt& stmt) {
  RETURN_IF_ERROR(CheckNamespaceTargets(*stmt.target));
  ASSIGN_OR_RETURN(Value value, Evaluate(*stmt.value));
  return Assign(*stmt.target, std::move(value));
}

Status Interpreter::CheckNamespaceTargets(const Expr& target) {
  if (target.kind == ExprKind::kTuple) {
    for (const ExprPtr& item : target.items) RETURN_IF_ERROR(CheckNamespaceTargets(*item));
  }
  if (target.kind != ExprKind::kNamespaceTarget) return OkStatus();
  const Value& value = SlotAt(target.slot);
  if (value.is(Kind::kObject) && value.host().AsNamespace() != nullptr) return OkStatus();
  return RuntimeError("cannot set an attribute of '" + std::string(target.name) +
                      "', which is no namespace");
}

Status Interpreter::Assign(const Expr& target, Value value) {
  switch (target.kind) {
    case ExprKind::kName:
      SlotAt(target.slot) = std::move(value);
      return OkStatus();
    case ExprKind::kNamespaceTarget: {
      const Value& space = SlotAt(target.slot);
      if (!space.is(Kind::kObject) || space.host().AsNamespace() == nullptr) {
        return RuntimeError("cannot set an attribute of something that is no namespace");
      }
      if (target.attribute.starts_with('_')) {
        return Error(TemplateErrorKind::kSecurity,
                     "attributes of a namespace do not start with an underscore");
      }
      Namespace& attributes = *space.host().AsNamespace();
      RETURN_IF_ERROR(Step(1 + attributes.attributes().size() / 8));
      attributes.Set(target.attribute, std::move(value));
      return OkStatus();
    }
    default:
      return AssignItems(target, value);
  }
}

Status Interpreter::AssignItems(const Expr& target, const Value& value) {
  if (!IsIterable(value)) {
    return RuntimeError("cannot unpack a value of type '" + std::string(TypeName(value)) + "'");
  }
  ASSIGN_OR_RETURN(const std::unique_ptr<Iterator> iterator, Iterate(*this, value));
  std::vector<Value> items;
  Value item;
  while (items.size() <= target.items.size()) {
    ASSIGN_OR_RETURN(const bool more, iterator->Next(*this, item));
    if (!more) break;
    items.push_back(std::move(item));
  }
  if (items.size() != target.items.size()) {
    return RuntimeError(
        "expected " + std::to_string(target.items.size()) + " values to unpack, found " +
        (items.size() > target.items.size() ? "more" : std::to_string(items.size())));
  }
  for (size_t i = 0; i < items.size(); ++i) {
    RETURN_IF_ERROR(Assign(*target.items[i], std::move(items[i])));
  }
  return OkStatus();
}

}  // namespace pelton::jinja
