#pragma once

#include <memory>
#include <optional>

#include "text/template/host_object.h"
#include "text/template/interpreter.h"

namespace pelton::jinja {

// The variable `loop` of a running for loop.
class LoopObject : public HostObject {
 public:
  LoopObject(const Stmt& stmt, const Value& iterable, std::unique_ptr<Iterator> iterator,
             Frame* outer, int depth0);

  std::string_view type_name() const override { return "LoopContext"; }
  bool callable() const override { return true; }
  Result<Value> Call(Interpreter& vm, Arguments& arguments) override;
  Result<Value> GetAttribute(Interpreter& vm, const Value& self, std::string_view name) override;

  // Moves to the next value; false at the end.
  Result<bool> Advance(Interpreter& vm);
  const Value& current() const { return current_; }
  Result<int64_t> Length(Interpreter& vm);
  bool ended() const { return stmt_ == nullptr; }

  // Drops everything that the loop holds. The template may keep the variable longer than the loop
  // runs, even inside a value that the loop itself holds.
  void End();

  static Result<Value> Cycle(Interpreter& vm, const Value& self, Arguments& arguments);
  static Result<Value> Changed(Interpreter& vm, const Value& self, Arguments& arguments);

 private:
  friend class Interpreter;

  // The iterator's next value. Fails if the iterator is already being asked: the condition of a
  // loop can reach the loop through a namespace.
  Result<bool> Take(Interpreter& vm, Value& out);
  // Looks at the value after the current one; false if there is none.
  Result<bool> Peek(Interpreter& vm);

  const Stmt* stmt_;
  Value iterable_;
  bool is_filtered_;
  std::unique_ptr<Iterator> iterator_;
  Frame* outer_;
  int depth0_;
  int64_t index0_ = -1;
  int64_t length_ = -1;
  bool is_taking_ = false;
  Value before_ = Value::Missing();
  Value current_ = Value::Missing();
  std::optional<Value> after_;
  std::optional<std::vector<Value>> last_changed_;
};

}  // namespace pelton::jinja
