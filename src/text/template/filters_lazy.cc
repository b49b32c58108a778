#include <algorithm>
#include <set>
#include <utility>

#include "text/template/argument_binding.h"
#include "text/template/attribute_path.h"
#include "text/template/filters.h"
#include "text/template/iteration.h"
#include "text/template/predicates.h"

// Filters that give a generator: they work when a value is taken from it, and only once.
namespace pelton::jinja {
namespace {

// Common part: the source is opened when the first value is wanted, so a wrong source fails there.
class LazyIterator : public Iterator {
 public:
  explicit LazyIterator(Value source) : source_(std::move(source)) {}
  int depth() const override { return source_.depth(); }

 protected:
  Result<bool> NextSource(Interpreter& vm, Value& out) {
    if (iterator_ == nullptr) {
      ASSIGN_OR_RETURN(iterator_, Iterate(vm, source_));
    }
    return iterator_->Next(vm, out);
  }
  const Value& source() const { return source_; }

 private:
  Value source_;
  std::unique_ptr<Iterator> iterator_;
};

// Depth of the arguments that a lazy filter holds.
int DepthOf(const Arguments& arguments) {
  int depth = 0;
  for (const Value& value : arguments.positional) depth = std::max(depth, value.depth());
  for (const auto& [name, value] : arguments.named) depth = std::max(depth, value.depth());
  return depth;
}

class MapIterator : public LazyIterator {
 public:
  // With a filter: applies it. Without: takes the attribute.
  MapIterator(Value source, const Filter* filter, Arguments arguments, AttributePath path,
              Value fallback)
      : LazyIterator(std::move(source)),
        filter_(filter),
        arguments_(std::move(arguments)),
        path_(std::move(path)),
        fallback_(std::move(fallback)) {}

  Result<bool> Next(Interpreter& vm, Value& out) override {
    Value item;
    ASSIGN_OR_RETURN(const bool more, NextSource(vm, item));
    if (!more) return false;
    if (filter_ == nullptr) {
      ASSIGN_OR_RETURN(out, path_.Get(vm, item, fallback_));
      return true;
    }
    RETURN_IF_ERROR(vm.Step(RenderContext::kStatementTicks));
    RETURN_IF_ERROR(ChargeText(vm, item));
    RETURN_IF_ERROR(ChargeArguments(vm, arguments_));
    Arguments arguments = arguments_;
    ASSIGN_OR_RETURN(out, filter_->apply(vm, item, arguments));
    return true;
  }
  int depth() const override {
    return std::max({LazyIterator::depth(), DepthOf(arguments_), fallback_.depth()});
  }

 private:
  const Filter* filter_;
  Arguments arguments_;
  AttributePath path_;
  Value fallback_;
};

Result<Value> Map(Interpreter& vm, const Value& input, Arguments& arguments) {
  if (!IsTruthy(input)) return NewGenerator(vm, nullptr);  // whatever the arguments are
  const Filter* filter = nullptr;
  AttributePath path;
  Value fallback = Value::Missing();
  if (arguments.positional.empty()) {
    Value argument[2];
    RETURN_IF_ERROR(BindArguments(vm, "map", 1, {"attribute", "default"}, arguments, argument));
    ASSIGN_OR_RETURN(path, AttributePath::Parse(vm, argument[0]));
    fallback = argument[1];
    arguments = {};
  } else {
    ASSIGN_OR_RETURN(const std::string name,
                     TextArgument(vm, "filter", arguments.positional[0], ""));
    filter = FindFilter(name);
    if (filter == nullptr)
      return vm.RuntimeError("there is no filter '" + name.substr(0, 80) + "'");
    arguments.positional.erase(arguments.positional.begin());
  }
  return NewGenerator(vm, std::make_unique<MapIterator>(input, filter, std::move(arguments),
                                                        std::move(path), std::move(fallback)));
}

class SelectIterator : public LazyIterator {
 public:
  // Keeps the items for which the predicate (or, without one, their truth) is `wanted`.
  SelectIterator(Value source, AttributePath path, const Predicate* predicate, Arguments arguments,
                 bool wanted)
      : LazyIterator(std::move(source)),
        path_(std::move(path)),
        predicate_(predicate),
        arguments_(std::move(arguments)),
        wanted_(wanted) {}

  Result<bool> Next(Interpreter& vm, Value& out) override {
    while (true) {
      ASSIGN_OR_RETURN(const bool more, NextSource(vm, out));
      if (!more) return false;
      ASSIGN_OR_RETURN(const Value value, path_.Get(vm, out));
      bool holds = IsTruthy(value);
      if (predicate_ != nullptr) {
        RETURN_IF_ERROR(vm.Step(RenderContext::kStatementTicks));
        Arguments arguments = arguments_;
        ASSIGN_OR_RETURN(holds, predicate_->apply(vm, value, arguments));
      }
      if (holds == wanted_) return true;
    }
  }
  int depth() const override { return std::max(LazyIterator::depth(), DepthOf(arguments_)); }

 private:
  AttributePath path_;
  const Predicate* predicate_;
  Arguments arguments_;
  bool wanted_;
};

template <bool kWanted, bool kByAttribute>
Result<Value> Select(Interpreter& vm, const Value& input, Arguments& arguments) {
  if (!IsTruthy(input)) return NewGenerator(vm, nullptr);  // whatever the arguments are
  AttributePath path;
  std::vector<Value>& positional = arguments.positional;
  if (kByAttribute) {
    if (positional.empty()) return vm.RuntimeError("the name of an attribute is missing");
    ASSIGN_OR_RETURN(path, AttributePath::Parse(vm, positional[0]));
    positional.erase(positional.begin());
  }
  const Predicate* predicate = nullptr;
  if (!positional.empty()) {
    ASSIGN_OR_RETURN(const std::string name, TextArgument(vm, "test", positional[0], ""));
    predicate = FindPredicate(name);
    if (predicate == nullptr) {
      return vm.RuntimeError("there is no test '" + name.substr(0, 80) + "'");
    }
    positional.erase(positional.begin());
  }
  return NewGenerator(vm, std::make_unique<SelectIterator>(input, std::move(path), predicate,
                                                           std::move(arguments), kWanted));
}

class UniqueIterator : public LazyIterator {
 public:
  UniqueIterator(Value source, AttributePath path, bool case_sensitive)
      : LazyIterator(std::move(source)), path_(std::move(path)), case_sensitive_(case_sensitive) {}

  Result<bool> Next(Interpreter& vm, Value& out) override {
    while (true) {
      ASSIGN_OR_RETURN(const bool more, NextSource(vm, out));
      if (!more) return false;
      ASSIGN_OR_RETURN(const Value value, path_.Get(vm, out));
      if (!IsHashable(value)) {
        return vm.RuntimeError("unhashable type: '" + std::string(TypeName(value)) + "'");
      }
      RETURN_IF_ERROR(ChargeText(vm, value));
      RETURN_IF_ERROR(vm.Step(RenderContext::kStatementTicks));  // a search and a node of the set
      ASSIGN_OR_RETURN(Value key, SortKey(vm, value, case_sensitive_));
      if (seen_.insert(std::move(key)).second) {
        vm.Hold(kBytesPerKey);
        return true;
      }
    }
  }

 private:
  struct KeyLess {
    bool operator()(const Value& a, const Value& b) const { return CompareKeys(a, b) < 0; }
  };
  static constexpr size_t kBytesPerKey = sizeof(Value) + 4 * sizeof(void*);  // a node of the set

  AttributePath path_;
  bool case_sensitive_;
  std::set<Value, KeyLess> seen_;
};

Result<Value> Unique(Interpreter& vm, const Value& input, Arguments& arguments) {
  Value argument[2];
  RETURN_IF_ERROR(
      BindArguments(vm, "unique", 0, {"case_sensitive", "attribute"}, arguments, argument));
  ASSIGN_OR_RETURN(AttributePath path, AttributePath::Parse(vm, argument[1]));
  return NewGenerator(vm, std::make_unique<UniqueIterator>(input, std::move(path),
                                                           FlagArgument(argument[0], false)));
}

class BatchIterator : public LazyIterator {
 public:
  BatchIterator(Value source, int64_t count, Value fill)
      : LazyIterator(std::move(source)), count_(count), fill_(std::move(fill)) {}

  Result<bool> Next(Interpreter& vm, Value& out) override {
    if (ended_) return false;
    Value item;
    while (true) {
      ASSIGN_OR_RETURN(const bool more, NextSource(vm, item));
      if (!more) break;
      const bool full = static_cast<int64_t>(batch_.size()) == count_;
      if (full) out = vm.NewList(std::exchange(batch_, {}));
      batch_.push_back(std::move(item));
      if (full) return true;
    }
    ended_ = true;
    if (batch_.empty()) return false;
    if (!fill_.is_none() && static_cast<int64_t>(batch_.size()) < count_) {
      const size_t missing = static_cast<size_t>(count_) - batch_.size();
      if (missing > vm.limits().max_value_bytes / sizeof(Value)) return vm.Reserve(SIZE_MAX);
      RETURN_IF_ERROR(vm.Reserve(missing * sizeof(Value)));
      batch_.insert(batch_.end(), missing, fill_);
    }
    out = vm.NewList(std::move(batch_));
    return true;
  }
  int depth() const override { return std::max(LazyIterator::depth() + 1, fill_.depth()); }

 private:
  int64_t count_;
  Value fill_;
  std::vector<Value> batch_;
  bool ended_ = false;
};

class SliceIterator : public LazyIterator {
 public:
  SliceIterator(Value source, int64_t slices, Value fill)
      : LazyIterator(std::move(source)), slices_(slices), fill_(std::move(fill)) {}

  Result<bool> Next(Interpreter& vm, Value& out) override {
    RETURN_IF_ERROR(vm.Step());
    if (!std::exchange(loaded_, true)) {
      ASSIGN_OR_RETURN(items_, Collect(vm, source()));
    }
    if (slices_ == 0) return vm.RuntimeError("slice: the number of slices is zero");
    if (index_ >= slices_) return false;
    const int64_t size = static_cast<int64_t>(items_.size());
    const int64_t per_slice = size / slices_;
    const int64_t extra = size % slices_;
    const bool is_long = index_ < extra;
    const int64_t count = per_slice + (is_long ? 1 : 0);
    const auto begin = items_.begin() + static_cast<std::ptrdiff_t>(taken_);
    std::vector<Value> slice(begin, begin + static_cast<std::ptrdiff_t>(count));
    if (!fill_.is_none() && !is_long) slice.push_back(fill_);
    taken_ += count;
    ++index_;
    out = vm.NewList(std::move(slice));
    return true;
  }
  int depth() const override { return std::max(LazyIterator::depth() + 1, fill_.depth()); }

 private:
  int64_t slices_;
  Value fill_;
  bool loaded_ = false;
  std::vector<Value> items_;
  int64_t index_ = 0;
  int64_t taken_ = 0;
};

template <typename Iterator>
Result<Value> Rows(Interpreter& vm, const Value& input, Arguments& arguments) {
  Value argument[2];
  RETURN_IF_ERROR(
      BindArguments(vm, "batch or slice", 1, {"count", "fill_with"}, arguments, argument));
  ASSIGN_OR_RETURN(const int64_t count, IntArgument(vm, "count", argument[0], 0));
  Value fill = argument[1].is_missing() ? Value() : argument[1];
  return NewGenerator(vm, std::make_unique<Iterator>(input, count, std::move(fill)));
}

class ItemsIterator : public LazyIterator {
 public:
  using LazyIterator::LazyIterator;
  Result<bool> Next(Interpreter& vm, Value& out) override {
    RETURN_IF_ERROR(vm.Step());
    if (source().is_undefined()) return false;
    if (!source().is(Kind::kDict)) {
      return vm.RuntimeError("items needs a dict, not '" + std::string(TypeName(source())) + "'");
    }
    const std::vector<DictObject::Entry>& entries = source().dict().entries;
    if (index_ >= entries.size()) return false;
    out = NewPair(vm, entries[index_].key, entries[index_].value);
    ++index_;
    return true;
  }

 private:
  size_t index_ = 0;
};

Result<Value> Items(Interpreter& vm, const Value& input, Arguments& arguments) {
  RETURN_IF_ERROR(BindArguments(vm, "items", 0, {}, arguments, nullptr));
  return NewGenerator(vm, std::make_unique<ItemsIterator>(input));
}

Result<Value> Reverse(Interpreter& vm, const Value& input, Arguments& arguments) {
  RETURN_IF_ERROR(BindArguments(vm, "reverse", 0, {}, arguments, nullptr));
  if (input.is_string()) {
    const std::string& text = input.text();
    std::string reversed;
    reversed.reserve(text.size());
    for (size_t end = text.size(); end > 0;) {
      size_t start = end - 1;
      while (start > 0 && (text[start] & 0xC0) == 0x80) --start;
      reversed.append(text, start, end - start);
      end = start;
    }
    return vm.NewString(std::move(reversed), input.is_safe_text());
  }
  ASSIGN_OR_RETURN(std::vector<Value> items, Collect(vm, input));
  std::reverse(items.begin(), items.end());
  const Value list = vm.NewList(std::move(items));
  if (!list.is(Kind::kList)) return vm.failure();
  // A generator has no end to start from, so the reference reverses a list of it.
  if (input.is(Kind::kGenerator)) return list;
  ASSIGN_OR_RETURN(std::unique_ptr<Iterator> iterator, Iterate(vm, list));
  return NewGenerator(vm, std::move(iterator));
}

constexpr Filter kLazyFilters[] = {
    {"batch", &Rows<BatchIterator>},
    {"items", &Items},
    {"map", &Map},
    {"reject", &Select<false, false>},
    {"rejectattr", &Select<false, true>},
    {"reverse", &Reverse},
    {"select", &Select<true, false>},
    {"selectattr", &Select<true, true>},
    {"slice", &Rows<SliceIterator>},
    {"unique", &Unique},
};

}  // namespace

FilterTable LazyFilters() { return {std::begin(kLazyFilters), std::end(kLazyFilters)}; }

}  // namespace pelton::jinja
