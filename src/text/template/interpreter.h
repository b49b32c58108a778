#pragma once

#include <memory>
#include <string>
#include <vector>

#include "base/status.h"
#include "text/template/ast.h"
#include "text/template/host_object.h"
#include "text/template/render_context.h"

namespace pelton::jinja {

class LoopObject;

// The variables of one entered frame.
struct Frame {
  Frame* parent = nullptr;
  std::vector<Value> slots;
  bool captured = false;  // a macro refers to it, so it lives as long as the rendering
};

// Renders one program once. Walks the tree; its recursion is bounded by kMaxEvalDepth.
class Interpreter : public RenderContext {
 public:
  // Borrows all three.
  Interpreter(const Program& program, const Value& variables, const RenderOptions& options);
  ~Interpreter();

  Result<std::string> Run();

  Result<Value> Call(const Value& callee, Arguments& arguments);
  Namespace* NewNamespace();
  const RenderOptions& options() const { return options_; }
  uint64_t NextRandom();

 private:
  friend class FilteredIterator;
  friend class LoopObject;
  friend class MacroObject;

  enum class Flow { kNext, kBreak, kContinue };

  // An entered frame, current while this lives.
  class FrameScope {
   public:
    FrameScope(Interpreter& vm, const FrameLayout& layout, Frame* parent);
    ~FrameScope();
    FrameScope(const FrameScope&) = delete;
    FrameScope& operator=(const FrameScope&) = delete;
    Frame& frame() { return *frame_; }

   private:
    Interpreter& vm_;
    Frame* frame_;
    Frame* before_;
  };

  // Output goes into `text` while this lives.
  class CaptureScope {
   public:
    CaptureScope(Interpreter& vm, std::string& text) : vm_(vm), before_(vm.out_) {
      vm.out_ = &text;
    }
    ~CaptureScope() { vm_.out_ = before_; }
    CaptureScope(const CaptureScope&) = delete;
    CaptureScope& operator=(const CaptureScope&) = delete;

   private:
    Interpreter& vm_;
    std::string* before_;
  };

  // interpreter.cc: frames and statements.
  Frame* AcquireFrame(size_t num_slots);
  void ReleaseFrame(Frame* frame);
  void Load(const FrameLayout& layout, Frame& frame);
  Value ResolveName(std::string_view name, bool detached) const;
  Value& SlotAt(Slot slot);
  static void MarkCaptured(Frame* frame);

  Result<Flow> RunBody(const StmtList& body);
  Result<Flow> RunStmt(const Stmt& stmt);
  Result<Flow> RunIf(const Stmt& stmt);
  Result<Flow> RunFor(const Stmt& stmt);
  Result<Flow> RunLoop(const Stmt& stmt, const Value& iterable, Frame* outer, int depth0);
  Result<Flow> RunLoopBody(const Stmt& stmt, LoopObject& loop, const Value& loop_value,
                           Frame* outer, bool& completed);
  Result<Value> CallLoop(LoopObject& loop, const Value& iterable);
  Result<Flow> RunCaptured(const Stmt& stmt);
  Result<Flow> RunWith(const Stmt& stmt);
  Status RunSet(const Stmt& stmt);
  Status RunCallBlock(const Stmt& stmt);
  Value MakeMacro(const Stmt& stmt);
  Result<Value> CallMacro(const Stmt& stmt, Frame* closure, Arguments& arguments);
  Status BindMacroArguments(const Stmt& stmt, Frame& frame, Arguments& arguments);
  Status Assign(const Expr& target, Value value);
  Status AssignItems(const Expr& target, const Value& value);
  Status CheckNamespaceTargets(const Expr& target);
  Status Print(const Value& value);
  Status PrintText(std::string_view text);

  // evaluate.cc: expressions.
  Result<Value> Evaluate(const Expr& expr);
  Result<Value> EvaluateItems(const Expr& expr);
  Result<Value> EvaluateDict(const Expr& expr);
  Result<Value> EvaluateItem(const Expr& expr);
  Result<Value> EvaluateBinary(const Expr& expr);
  Result<Value> EvaluateUnary(const Expr& expr);
  Result<Value> EvaluateConcat(const Expr& expr);
  Result<Value> EvaluateLogic(const Expr& expr);
  Result<Value> EvaluateCompare(const Expr& expr);
  Result<Value> EvaluateConditional(const Expr& expr);
  Result<Value> EvaluateCall(const Expr& expr, const Value* caller);
  Result<Value> EvaluateFilter(const Expr& expr);
  Result<Value> EvaluateTest(const Expr& expr);
  Status EvaluateArguments(const Expr& call, Arguments& arguments);
  Status EvaluateTail(const CallTail& tail, Arguments& arguments);

  const Program& program_;
  const Value& variables_;
  const RenderOptions& options_;
  std::vector<std::unique_ptr<Frame>> frames_;  // all that were ever needed
  std::vector<Frame*> free_frames_;
  std::vector<std::unique_ptr<Namespace>> namespaces_;
  Frame* root_frame_ = nullptr;
  Frame* frame_ = nullptr;
  std::string* out_ = nullptr;
  const Value* block_input_ = nullptr;  // what the filter chain of a block starts from
  int eval_depth_ = 0;
  int call_depth_ = 0;
  uint64_t random_state_;
};

// The work of reading a text, or all texts among the arguments, before a built-in does it. Lists
// and dicts are paid for by whoever walks through them.
Status ChargeText(RenderContext& context, const Value& value);
Status ChargeArguments(RenderContext& context, const Arguments& arguments);

// Deepest recursion of statements and expressions together. It fits a stack of 1 MB (clang release,
// x86-64; 3 MB with AddressSanitizer), measured with the deepest templates of limits_test.
inline constexpr int kMaxEvalDepth = 1000;

}  // namespace pelton::jinja
