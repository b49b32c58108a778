#include <utility>

#include "text/template/interpreter.h"
#include "text/template/iteration.h"
#include "text/template/loop_object.h"

namespace pelton::jinja {

// What a loop with a condition iterates over. The condition is looked at when a value is wanted,
// so it sees what the loop's body has changed before.
class FilteredIterator : public Iterator {
 public:
  FilteredIterator(Interpreter& vm, const Stmt& stmt, std::unique_ptr<Iterator> iterator,
                   Frame* outer)
      : vm_(vm),
        stmt_(stmt),
        iterator_(std::move(iterator)),
        frame_(vm.AcquireFrame(stmt.test_frame.variables.size())) {
    frame_->parent = outer;
  }
  ~FilteredIterator() override { vm_.ReleaseFrame(frame_); }

  Result<bool> Next(Interpreter& vm, Value& out) override {
    if (!std::exchange(loaded_, true)) vm.Load(stmt_.test_frame, *frame_);
    while (true) {
      ASSIGN_OR_RETURN(const bool more, iterator_->Next(vm, out));
      if (!more) return false;
      Frame* before = std::exchange(vm.frame_, frame_);
      Result<Value> test = Test(vm, out);
      vm.frame_ = before;
      if (!test.ok()) return test.status();
      if (IsTruthy(*test)) return true;
    }
  }

 private:
  Result<Value> Test(Interpreter& vm, const Value& item) {
    RETURN_IF_ERROR(vm.Assign(*stmt_.target, item));
    return vm.Evaluate(*stmt_.test);
  }

  Interpreter& vm_;
  const Stmt& stmt_;
  std::unique_ptr<Iterator> iterator_;
  Frame* frame_;
  bool loaded_ = false;
};

namespace {

// Ends a loop on every way out.
class LoopEnd {
 public:
  explicit LoopEnd(LoopObject& loop) : loop_(loop) {}
  ~LoopEnd() { loop_.End(); }
  LoopEnd(const LoopEnd&) = delete;
  LoopEnd& operator=(const LoopEnd&) = delete;

 private:
  LoopObject& loop_;
};

}  // namespace

Result<Interpreter::Flow> Interpreter::RunFor(const Stmt& stmt) {
  ASSIGN_OR_RETURN(const Value iterable, Evaluate(*stmt.value));
  return RunLoop(stmt, iterable, frame_, 0);
}

Result<Interpreter::Flow> Interpreter::RunLoop(const Stmt& stmt, const Value& iterable,
                                               Frame* outer, int depth0) {
  ASSIGN_OR_RETURN(std::unique_ptr<Iterator> iterator, Iterate(*this, iterable));
  if (stmt.test != nullptr) {
    iterator = std::make_unique<FilteredIterator>(*this, stmt, std::move(iterator), outer);
  }
  auto object = std::make_shared<LoopObject>(stmt, iterable, std::move(iterator), outer, depth0);
  LoopObject& loop = *object;
  const Value loop_value = Adopt(Kind::kObject, std::move(object), sizeof(LoopObject));
  if (!loop_value.is(Kind::kObject)) return failure();
  bool completed = false;
  {
    const LoopEnd end(loop);
    ASSIGN_OR_RETURN(const Flow flow, RunLoopBody(stmt, loop, loop_value, outer, completed));
    PELTON_DCHECK(flow == Flow::kNext, "a loop ends its own break and continue");
  }
  // As in the reference, the else part also follows a loop whose turns all ended early.
  if (completed || stmt.otherwise.empty()) return Flow::kNext;
  const FrameScope scope(*this, stmt.else_frame, outer);
  return RunBody(stmt.otherwise);
}

Result<Interpreter::Flow> Interpreter::RunLoopBody(const Stmt& stmt, LoopObject& loop,
                                                   const Value& loop_value, Frame* outer,
                                                   bool& completed) {
  const FrameScope scope(*this, stmt.frame, outer);
  for (bool first = true;; first = false) {
    RETURN_IF_ERROR(Step(kStatementTicks));
    ASSIGN_OR_RETURN(const bool more, loop.Advance(*this));
    if (!more) return Flow::kNext;
    if (!first) {
      RETURN_IF_ERROR(Step(stmt.frame.variables.size()));
      Load(stmt.frame, *frame_);
    }
    frame_->slots[static_cast<size_t>(stmt.loop_index)] = loop_value;
    RETURN_IF_ERROR(Assign(*stmt.target, loop.current()));
    ASSIGN_OR_RETURN(const Flow flow, RunBody(stmt.body));
    if (flow == Flow::kBreak) return Flow::kNext;
    completed = completed || flow == Flow::kNext;
  }
}

Result<Value> Interpreter::CallLoop(LoopObject& loop, const Value& iterable) {
  std::string text;
  const CaptureScope capture(*this, text);
  // The body of the loop runs as if it stood where the loop stands, not where it is called.
  Frame* before = std::exchange(frame_, loop.outer_);
  Result<Flow> flow = RunLoop(*loop.stmt_, iterable, loop.outer_, loop.depth0_ + 1);
  frame_ = before;
  if (!flow.ok()) return flow.status();
  return NewString(std::move(text));
}

}  // namespace pelton::jinja
