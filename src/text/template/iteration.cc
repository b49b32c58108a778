#include "text/template/iteration.h"

#include <utility>

#include "text/template/loop_object.h"
#include "text/template/unicode_text.h"

namespace pelton::jinja {
namespace {

class EmptyIterator : public Iterator {
 public:
  Result<bool> Next(Interpreter&, Value&) override { return false; }
  int64_t size() const override { return 0; }
};

class ListIterator : public Iterator {
 public:
  explicit ListIterator(Value list) : list_(std::move(list)) {}
  Result<bool> Next(Interpreter& vm, Value& out) override {
    RETURN_IF_ERROR(vm.Step());
    if (index_ >= list_.items().size()) return false;
    out = list_.items()[index_++];
    return true;
  }
  int depth() const override { return list_.depth(); }

 private:
  Value list_;
  size_t index_ = 0;
};

class StringIterator : public Iterator {
 public:
  explicit StringIterator(Value text) : text_(std::move(text)) {}
  Result<bool> Next(Interpreter& vm, Value& out) override {
    RETURN_IF_ERROR(vm.Step());
    if (pos_ >= text_.text().size()) return false;
    const size_t start = pos_;
    DecodeAt(text_.text(), pos_);
    out = vm.NewString(text_.text().substr(start, pos_ - start));
    return true;
  }

 private:
  Value text_;
  size_t pos_ = 0;
};

class DictIterator : public Iterator {
 public:
  DictIterator(Value dict, ViewObject::What what) : dict_(std::move(dict)), what_(what) {}
  Result<bool> Next(Interpreter& vm, Value& out) override {
    RETURN_IF_ERROR(vm.Step());
    const auto& entries = dict_.dict().entries;
    if (index_ >= entries.size()) return false;
    const DictObject::Entry& entry = entries[index_++];
    if (what_ == ViewObject::What::kItems) {
      out = NewPair(vm, entry.key, entry.value);
    } else {
      out = what_ == ViewObject::What::kKeys ? entry.key : entry.value;
    }
    return true;
  }
  int depth() const override { return dict_.depth(); }

 private:
  Value dict_;
  ViewObject::What what_;
  size_t index_ = 0;
};

class RangeIterator : public Iterator {
 public:
  explicit RangeIterator(Value range) : range_(std::move(range)) {}
  Result<bool> Next(Interpreter& vm, Value& out) override {
    RETURN_IF_ERROR(vm.Step());
    if (index_ >= range_.range().size) return false;
    out = Value::Integer(range_.range().At(index_++));
    return true;
  }

 private:
  Value range_;
  int64_t index_ = 0;
};

class GeneratorIterator : public Iterator {
 public:
  explicit GeneratorIterator(Value generator) : generator_(std::move(generator)) {}
  Result<bool> Next(Interpreter& vm, Value& out) override {
    return generator_.generator().iterator->Next(vm, out);
  }
  int depth() const override { return generator_.depth(); }

 private:
  Value generator_;
};

}  // namespace

Result<std::unique_ptr<Iterator>> Iterate(Interpreter& vm, const Value& value) {
  std::unique_ptr<Iterator> out;
  switch (value.kind()) {
    case Kind::kUndefined:
      out = std::make_unique<EmptyIterator>();
      break;
    case Kind::kList:
    case Kind::kTuple:
      out = std::make_unique<ListIterator>(value);
      break;
    case Kind::kString:
      out = std::make_unique<StringIterator>(value);
      break;
    case Kind::kDict:
      out = std::make_unique<DictIterator>(value, ViewObject::What::kKeys);
      break;
    case Kind::kView:
      out = std::make_unique<DictIterator>(value.view().dict, value.view().what);
      break;
    case Kind::kRange:
      out = std::make_unique<RangeIterator>(value);
      break;
    case Kind::kGenerator:
      out = std::make_unique<GeneratorIterator>(value);
      break;
    default:
      return vm.RuntimeError("'" + std::string(TypeName(value)) + "' object is not iterable");
  }
  return out;
}

bool IsIterable(const Value& value) {
  switch (value.kind()) {
    case Kind::kUndefined:
    case Kind::kList:
    case Kind::kTuple:
    case Kind::kString:
    case Kind::kDict:
    case Kind::kView:
    case Kind::kRange:
    case Kind::kGenerator:
      return true;
    default:
      return false;
  }
}

Result<std::vector<Value>> Collect(Interpreter& vm, const Value& value) {
  if (value.is_sequence()) {
    RETURN_IF_ERROR(vm.Reserve(value.items().size() * sizeof(Value)));
    return value.items();
  }
  ASSIGN_OR_RETURN(const std::unique_ptr<Iterator> iterator, Iterate(vm, value));
  std::vector<Value> out;
  Value item;
  while (true) {
    ASSIGN_OR_RETURN(const bool more, iterator->Next(vm, item));
    if (!more) return out;
    out.push_back(std::move(item));
  }
}

int64_t LengthOf(const Value& value) {
  switch (value.kind()) {
    case Kind::kUndefined:
      return 0;
    case Kind::kString:
      return value.string_object().Length();
    case Kind::kList:
    case Kind::kTuple:
      return static_cast<int64_t>(value.items().size());
    case Kind::kDict:
      return static_cast<int64_t>(value.dict().entries.size());
    case Kind::kView:
      return static_cast<int64_t>(value.view().dict.dict().entries.size());
    case Kind::kRange:
      return value.range().size;
    default:
      return -1;
  }
}

Value NewGenerator(RenderContext& context, std::unique_ptr<Iterator> iterator) {
  if (iterator == nullptr) iterator = std::make_unique<EmptyIterator>();
  auto object = std::make_shared<GeneratorObject>();
  object->depth = iterator->depth() + 1;
  object->iterator = std::move(iterator);
  return context.Adopt(Kind::kGenerator, std::move(object), sizeof(GeneratorObject) + 128);
}

Value NewPair(RenderContext& context, const Value& first, const Value& second) {
  return context.NewTuple({first, second});
}

}  // namespace pelton::jinja
