#include <algorithm>
#include <utility>

#include "text/template/access.h"
#include "text/template/argument_binding.h"
#include "text/template/attribute_path.h"
#include "text/template/filters.h"
#include "text/template/iteration.h"
#include "text/template/loop_object.h"
#include "text/template/operators.h"
#include "text/template/printing.h"
#include "text/template/sorting.h"
#include "text/template/text_builder.h"
#include "text/template/unicode_text.h"

namespace pelton::jinja {
namespace {

Result<Value> Attr(Interpreter& vm, const Value& input, Arguments& arguments) {
  Value name;
  RETURN_IF_ERROR(BindArguments(vm, "attr", 1, {"name"}, arguments, &name));
  ASSIGN_OR_RETURN(const std::string text, TextArgument(vm, "name", name, ""));
  ASSIGN_OR_RETURN(Value value, GetOwnAttribute(vm, input, text));
  if (!value.is_missing()) return value;
  return MakeUndefined("'" + std::string(TypeName(input)) + " object' has no such attribute");
}

Result<Value> Default(Interpreter& vm, const Value& input, Arguments& arguments) {
  Value argument[2];
  RETURN_IF_ERROR(
      BindArguments(vm, "default", 0, {"default_value", "boolean"}, arguments, argument));
  const bool use_default =
      input.is_undefined() || (FlagArgument(argument[1], false) && !IsTruthy(input));
  if (!use_default) return input;
  return argument[0].is_missing() ? vm.NewString("") : argument[0];
}

Result<Value> DictSort(Interpreter& vm, const Value& input, Arguments& arguments) {
  Value argument[3];
  RETURN_IF_ERROR(
      BindArguments(vm, "dictsort", 0, {"case_sensitive", "by", "reverse"}, arguments, argument));
  ASSIGN_OR_RETURN(const std::string by, TextArgument(vm, "by", argument[1], "key"));
  if (by != "key" && by != "value") return vm.RuntimeError("dictsort sorts by 'key' or 'value'");
  if (input.is_undefined()) return vm.UndefinedError(input);
  if (!input.is(Kind::kDict)) return vm.RuntimeError("dictsort needs a dict");
  const bool case_sensitive = FlagArgument(argument[0], false);
  const std::vector<DictObject::Entry>& entries = input.dict().entries;
  std::vector<Value> keys;
  for (const DictObject::Entry& entry : entries) {
    RETURN_IF_ERROR(vm.Step());
    ASSIGN_OR_RETURN(Value key, SortKey(vm, by == "key" ? entry.key : entry.value, case_sensitive));
    keys.push_back(std::move(key));
  }
  ASSIGN_OR_RETURN(const std::vector<size_t> order,
                   SortedOrder(vm, keys, FlagArgument(argument[2], false)));
  std::vector<Value> pairs;
  for (const size_t i : order) {
    RETURN_IF_ERROR(vm.Step());
    pairs.push_back(NewPair(vm, entries[i].key, entries[i].value));
  }
  return vm.NewList(std::move(pairs));
}

Result<Value> First(Interpreter& vm, const Value& input, Arguments& arguments) {
  RETURN_IF_ERROR(BindArguments(vm, "first", 0, {}, arguments, nullptr));
  ASSIGN_OR_RETURN(const std::unique_ptr<Iterator> iterator, Iterate(vm, input));
  Value value;
  ASSIGN_OR_RETURN(const bool any, iterator->Next(vm, value));
  return any ? value : MakeUndefined("No first item, sequence was empty.");
}

Result<Value> Last(Interpreter& vm, const Value& input, Arguments& arguments) {
  RETURN_IF_ERROR(BindArguments(vm, "last", 0, {}, arguments, nullptr));
  if (input.is_undefined()) return MakeUndefined("No last item, sequence was empty.");
  if (LengthOf(input) < 0) {
    return vm.RuntimeError("last cannot go backwards through a '" + std::string(TypeName(input)) +
                           "'; turn it into a list first");
  }
  if (input.is_string()) {
    const std::string& text = input.text();
    if (text.empty()) return MakeUndefined("No last item, sequence was empty.");
    size_t start = text.size() - 1;
    while (start > 0 && (text[start] & 0xC0) == 0x80) --start;
    return vm.NewString(text.substr(start), input.is_safe_text());
  }
  if (LengthOf(input) == 0) return MakeUndefined("No last item, sequence was empty.");
  if (!input.is(Kind::kDict) && !input.is(Kind::kView)) {
    return GetItem(vm, input, Value::Integer(-1));
  }
  const bool keys = input.is(Kind::kDict) || input.view().what == ViewObject::What::kKeys;
  const Value& dict = input.is(Kind::kDict) ? input : input.view().dict;
  const DictObject::Entry& entry = dict.dict().entries.back();
  if (keys) return entry.key;
  return input.view().what == ViewObject::What::kValues ? entry.value
                                                        : NewPair(vm, entry.key, entry.value);
}

Result<Value> GroupBy(Interpreter& vm, const Value& input, Arguments& arguments) {
  Value argument[3];
  RETURN_IF_ERROR(BindArguments(vm, "groupby", 1, {"attribute", "default", "case_sensitive"},
                                arguments, argument));
  ASSIGN_OR_RETURN(const AttributePath path, AttributePath::Parse(vm, argument[0]));
  const bool case_sensitive = FlagArgument(argument[2], false);
  ASSIGN_OR_RETURN(const std::vector<Value> items, Collect(vm, input));
  std::vector<Value> keys;
  std::vector<Value> shown;
  for (const Value& item : items) {
    ASSIGN_OR_RETURN(Value value, path.Get(vm, item, argument[1]));
    ASSIGN_OR_RETURN(Value key, SortKey(vm, value, case_sensitive));
    keys.push_back(std::move(key));
    shown.push_back(std::move(value));
  }
  ASSIGN_OR_RETURN(const std::vector<size_t> order, SortedOrder(vm, keys, false));
  std::vector<Value> groups;
  for (size_t start = 0; start < order.size();) {
    std::vector<Value> members;
    size_t end = start;
    while (end < order.size()) {
      ASSIGN_OR_RETURN(const bool same, Equals(vm, keys[order[start]], keys[order[end]]));
      if (!same && end > start) break;
      members.push_back(items[order[end++]]);
    }
    auto group = std::make_shared<ListObject>();
    group->is_group = true;
    group->items = {shown[order[start]], vm.NewList(std::move(members))};
    group->depth = 1 + std::max(group->items[0].depth(), group->items[1].depth());
    groups.push_back(
        vm.Adopt(Kind::kTuple, std::move(group), sizeof(ListObject) + 2 * sizeof(Value)));
    start = end;
  }
  return vm.NewList(std::move(groups));
}

Result<Value> JoinFilter(Interpreter& vm, const Value& input, Arguments& arguments) {
  Value argument[2];
  RETURN_IF_ERROR(BindArguments(vm, "join", 0, {"d", "attribute"}, arguments, argument));
  std::string separator;
  if (!argument[0].is_missing()) {
    ASSIGN_OR_RETURN(separator, TextOf(vm, argument[0]));
  }
  ASSIGN_OR_RETURN(const AttributePath path, AttributePath::Parse(vm, argument[1]));
  ASSIGN_OR_RETURN(const std::unique_ptr<Iterator> iterator, Iterate(vm, input));
  TextBuilder out(vm);
  Value item;
  for (bool first = true;; first = false) {
    ASSIGN_OR_RETURN(const bool more, iterator->Next(vm, item));
    if (!more) break;
    if (!first) RETURN_IF_ERROR(out.Add(separator));
    ASSIGN_OR_RETURN(const Value value, path.Get(vm, item));
    RETURN_IF_ERROR(AddText(out, value));
  }
  return vm.NewString(out.Take());
}

Result<Value> Length(Interpreter& vm, const Value& input, Arguments& arguments) {
  RETURN_IF_ERROR(BindArguments(vm, "length", 0, {}, arguments, nullptr));
  const int64_t length = LengthOf(input);
  if (length >= 0) return Value::Integer(length);
  if (input.is(Kind::kObject)) {
    if (auto* loop = dynamic_cast<LoopObject*>(&input.host())) {
      ASSIGN_OR_RETURN(const int64_t turns, loop->Length(vm));
      return Value::Integer(turns);
    }
  }
  return vm.RuntimeError("a value of type '" + std::string(TypeName(input)) + "' has no length");
}

Result<Value> List(Interpreter& vm, const Value& input, Arguments& arguments) {
  RETURN_IF_ERROR(BindArguments(vm, "list", 0, {}, arguments, nullptr));
  ASSIGN_OR_RETURN(std::vector<Value> items, Collect(vm, input));
  return vm.NewList(std::move(items));
}

template <bool kMax>
Result<Value> Extreme(Interpreter& vm, const Value& input, Arguments& arguments) {
  Value argument[2];
  RETURN_IF_ERROR(
      BindArguments(vm, "min or max", 0, {"case_sensitive", "attribute"}, arguments, argument));
  ASSIGN_OR_RETURN(const AttributePath path, AttributePath::Parse(vm, argument[1]));
  ASSIGN_OR_RETURN(const std::vector<Value> items, Collect(vm, input));
  if (items.empty()) return MakeUndefined("No aggregated item, sequence was empty.");
  size_t best = 0;
  Value best_key;
  for (size_t i = 0; i < items.size(); ++i) {
    ASSIGN_OR_RETURN(const Value value, path.Get(vm, items[i]));
    ASSIGN_OR_RETURN(Value key, SortKey(vm, value, FlagArgument(argument[0], false)));
    if (i != 0) {
      ASSIGN_OR_RETURN(const bool better,
                       kMax ? LessThan(vm, best_key, key) : LessThan(vm, key, best_key));
      if (!better) continue;
    }
    best = i;
    best_key = std::move(key);
  }
  return items[best];
}

Result<Value> Random(Interpreter& vm, const Value& input, Arguments& arguments) {
  RETURN_IF_ERROR(BindArguments(vm, "random", 0, {}, arguments, nullptr));
  const int64_t length = LengthOf(input);
  if (length < 0) return vm.RuntimeError("random needs a sequence");
  if (length == 0) return MakeUndefined("No random item, sequence was empty.");
  return GetItem(
      vm, input,
      Value::Integer(static_cast<int64_t>(vm.NextRandom() % static_cast<uint64_t>(length))));
}

Result<Value> Sort(Interpreter& vm, const Value& input, Arguments& arguments) {
  Value argument[3];
  RETURN_IF_ERROR(BindArguments(vm, "sort", 0, {"reverse", "case_sensitive", "attribute"},
                                arguments, argument));
  const bool case_sensitive = FlagArgument(argument[1], false);
  ASSIGN_OR_RETURN(const std::vector<AttributePath> paths,
                   AttributePath::ParseList(vm, argument[2]));
  ASSIGN_OR_RETURN(const std::vector<Value> items, Collect(vm, input));
  std::vector<Value> keys;
  for (const Value& item : items) {
    std::vector<Value> parts;
    for (const AttributePath& path : paths) {
      ASSIGN_OR_RETURN(const Value value, path.Get(vm, item));
      ASSIGN_OR_RETURN(Value part, SortKey(vm, value, case_sensitive));
      parts.push_back(std::move(part));
    }
    Value key = vm.NewList(std::move(parts));
    if (!key.is(Kind::kList)) return vm.failure();
    keys.push_back(std::move(key));
  }
  ASSIGN_OR_RETURN(const std::vector<size_t> order,
                   SortedOrder(vm, keys, FlagArgument(argument[0], false)));
  std::vector<Value> sorted;
  sorted.reserve(order.size());
  for (const size_t i : order) sorted.push_back(items[i]);
  return vm.NewList(std::move(sorted));
}

Result<Value> Sum(Interpreter& vm, const Value& input, Arguments& arguments) {
  Value argument[2];
  RETURN_IF_ERROR(BindArguments(vm, "sum", 0, {"attribute", "start"}, arguments, argument));
  ASSIGN_OR_RETURN(const AttributePath path, AttributePath::Parse(vm, argument[0]));
  Value total = argument[1].is_missing() ? Value::Integer(0) : argument[1];
  if (total.is_string()) return vm.RuntimeError("sum cannot add strings; use join");
  ASSIGN_OR_RETURN(const std::unique_ptr<Iterator> iterator, Iterate(vm, input));
  Value item;
  while (true) {
    ASSIGN_OR_RETURN(const bool more, iterator->Next(vm, item));
    if (!more) return total;
    ASSIGN_OR_RETURN(const Value value, path.Get(vm, item));
    ASSIGN_OR_RETURN(total, ApplyBinary(vm, BinaryOp::kAdd, total, value));
  }
}

constexpr Filter kSequenceFilters[] = {
    {"attr", &Attr},          {"count", &Length, true},
    {"d", &Default, true},    {"default", &Default, true},
    {"dictsort", &DictSort},  {"first", &First, true},
    {"groupby", &GroupBy},    {"join", &JoinFilter},
    {"last", &Last, true},    {"length", &Length, true},
    {"list", &List},          {"max", &Extreme<true>},
    {"min", &Extreme<false>}, {"random", &Random},
    {"sort", &Sort},          {"sum", &Sum},
};

}  // namespace

FilterTable SequenceFilters() { return {std::begin(kSequenceFilters), std::end(kSequenceFilters)}; }

}  // namespace pelton::jinja
