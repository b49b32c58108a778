#include "text/template/loop_object.h"

#include <utility>

#include "text/template/iteration.h"
#include "text/template/operators.h"

namespace pelton::jinja {

LoopObject::LoopObject(const Stmt& stmt, const Value& iterable, std::unique_ptr<Iterator> iterator,
                       Frame* outer, int depth0)
    : stmt_(&stmt),
      iterable_(iterable),
      is_filtered_(stmt.test != nullptr),
      iterator_(std::move(iterator)),
      outer_(outer),
      depth0_(depth0) {
  depth = iterable.depth() + 1;
}

void LoopObject::End() {
  stmt_ = nullptr;
  outer_ = nullptr;
  iterator_.reset();
  iterable_ = before_ = current_ = Value::Missing();
  after_.reset();
  last_changed_.reset();
}

Result<bool> LoopObject::Advance(Interpreter& vm) {
  Value next;
  if (after_) {
    next = *std::exchange(after_, std::nullopt);
  } else {
    ASSIGN_OR_RETURN(const bool more, Take(vm, next));
    if (!more) return false;
  }
  ++index0_;
  before_ = std::exchange(current_, std::move(next));
  return true;
}

Result<bool> LoopObject::Take(Interpreter& vm, Value& out) {
  if (is_taking_) return vm.RuntimeError("the loop is already looking for its next value");
  is_taking_ = true;
  Result<bool> more = iterator_->Next(vm, out);
  is_taking_ = false;
  return more;
}

Result<bool> LoopObject::Peek(Interpreter& vm) {
  if (after_) return true;
  Value next;
  ASSIGN_OR_RETURN(const bool more, Take(vm, next));
  if (more) after_ = std::move(next);
  return more;
}

Result<int64_t> LoopObject::Length(Interpreter& vm) {
  if (length_ >= 0) return length_;
  if (!is_filtered_) length_ = LengthOf(iterable_);
  if (length_ >= 0) return length_;
  if (is_taking_) return vm.RuntimeError("the loop is already looking for its next value");
  // Without a length, the rest is taken now and given out later.
  std::vector<Value> rest;
  Value item;
  while (true) {
    ASSIGN_OR_RETURN(const bool more, Take(vm, item));
    if (!more) break;
    rest.push_back(std::move(item));
  }
  length_ = static_cast<int64_t>(rest.size()) + index0_ + 1 + (after_ ? 1 : 0);
  ASSIGN_OR_RETURN(iterator_, Iterate(vm, vm.NewList(std::move(rest))));
  return length_;
}

Result<Value> LoopObject::GetAttribute(Interpreter& vm, const Value& self, std::string_view name) {
  if (name == "index") return Value::Integer(index0_ + 1);
  if (name == "index0") return Value::Integer(index0_);
  if (name == "first") return Value::Bool(index0_ == 0);
  if (name == "depth") return Value::Integer(depth0_ + 1);
  if (name == "depth0") return Value::Integer(depth0_);
  const bool is_cycle = name == "cycle";
  if (is_cycle || name == "changed") {
    auto function = std::make_shared<FunctionObject>(is_cycle ? "cycle" : "changed",
                                                     is_cycle ? &Cycle : &Changed, self);
    return vm.Adopt(Kind::kObject, std::move(function), sizeof(FunctionObject));
  }
  if (name == "previtem") {
    return index0_ <= 0 ? MakeUndefined("there is no previous item") : before_;
  }
  if (ended()) return Value::Missing();
  if (name == "last" || name == "nextitem") {
    ASSIGN_OR_RETURN(const bool more, Peek(vm));
    if (name == "last") return Value::Bool(!more);
    return more ? *after_ : MakeUndefined("there is no next item");
  }
  if (name == "length" || name == "revindex" || name == "revindex0") {
    ASSIGN_OR_RETURN(const int64_t length, Length(vm));
    if (name == "length") return Value::Integer(length);
    return Value::Integer(length - index0_ - (name == "revindex0" ? 1 : 0));
  }
  return Value::Missing();
}

Result<Value> LoopObject::Cycle(Interpreter& vm, const Value& self, Arguments& arguments) {
  const auto& loop = static_cast<const LoopObject&>(self.host());
  if (arguments.positional.empty()) return vm.RuntimeError("loop.cycle needs items");
  const size_t index = static_cast<size_t>(std::max<int64_t>(loop.index0_, 0));
  return arguments.positional[index % arguments.positional.size()];
}

Result<Value> LoopObject::Changed(Interpreter& vm, const Value& self, Arguments& arguments) {
  auto& loop = static_cast<LoopObject&>(self.host());
  if (loop.ended()) return vm.RuntimeError("the loop has ended");
  bool same = loop.last_changed_ && loop.last_changed_->size() == arguments.positional.size();
  for (size_t i = 0; same && i < arguments.positional.size(); ++i) {
    ASSIGN_OR_RETURN(same, Equals(vm, (*loop.last_changed_)[i], arguments.positional[i]));
  }
  if (!same) loop.last_changed_ = arguments.positional;
  return Value::Bool(!same);
}

Result<Value> LoopObject::Call(Interpreter& vm, Arguments& arguments) {
  if (ended() || !stmt_->recursive) {
    return vm.RuntimeError("only a running recursive loop can be called");
  }
  if (arguments.positional.size() != 1 || !arguments.named.empty()) {
    return vm.RuntimeError("loop() takes one value to loop over");
  }
  return vm.CallLoop(*this, arguments.positional[0]);
}

}  // namespace pelton::jinja
