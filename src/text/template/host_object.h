#pragma once

#include <memory>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "base/status.h"
#include "text/template/value.h"

namespace pelton::jinja {

class Interpreter;
class Namespace;

// The arguments of a call.
struct Arguments {
  std::vector<Value> positional;
  std::vector<std::pair<std::string, Value>> named;
};

// Yields values one by one.
class Iterator {
 public:
  virtual ~Iterator() = default;
  // Sets `out` to the next value, or returns false at the end.
  virtual Result<bool> Next(Interpreter& vm, Value& out) = 0;
  // Of the values that the iterator holds.
  virtual int depth() const { return 0; }
  // For a loop's length, where it is known before the end; -1 if not.
  virtual int64_t size() const { return -1; }
};

// The result of a lazy filter: whoever iterates takes the values away.
struct GeneratorObject : Object {
  std::unique_ptr<Iterator> iterator;
};

// Something with attributes or a call that the interpreter itself provides: never an object of the
// program around it.
class HostObject : public Object {
 public:
  virtual std::string_view type_name() const = 0;
  virtual bool callable() const { return false; }
  virtual Result<Value> Call(Interpreter& vm, Arguments& arguments);
  // `self` is the value that holds this object. Missing if there is no attribute of that name.
  virtual Result<Value> GetAttribute(Interpreter& vm, const Value& self, std::string_view name);
  virtual Namespace* AsNamespace() { return nullptr; }
};

// namespace(...): the only thing that statements can change. Namespaces may hold each other, so the
// rendering owns them all and values only point to them.
class Namespace : public HostObject {
 public:
  std::string_view type_name() const override { return "Namespace"; }
  Result<Value> GetAttribute(Interpreter& vm, const Value& self, std::string_view name) override;
  Namespace* AsNamespace() override { return this; }

  const Value* Find(std::string_view name) const;
  void Set(std::string_view name, Value value);
  // Requires: there is no attribute of that name.
  void Append(std::string_view name, Value value) {
    attributes_.emplace_back(name, std::move(value));
  }
  const std::vector<std::pair<std::string, Value>>& attributes() const { return attributes_; }
  void Clear() { attributes_.clear(); }

 private:
  std::vector<std::pair<std::string, Value>> attributes_;
};

// A built-in function, or a method of a value when `self` is not missing.
class FunctionObject : public HostObject {
 public:
  using Function = Result<Value> (*)(Interpreter& vm, const Value& self, Arguments& arguments);

  FunctionObject(std::string_view name, Function function, Value self)
      : name_(name), function_(function), self_(std::move(self)) {
    depth = self_.depth() + 1;
  }
  std::string_view type_name() const override { return "builtin_function_or_method"; }
  bool callable() const override { return true; }
  Result<Value> Call(Interpreter& vm, Arguments& arguments) override {
    return function_(vm, self_, arguments);
  }
  std::string_view name() const { return name_; }

 private:
  std::string_view name_;  // of a static table
  Function function_;
  Value self_;
};

}  // namespace pelton::jinja
