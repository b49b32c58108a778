#include "text/template/value.h"

#include <algorithm>
#include <cmath>
#include <cstring>
#include <limits>
#include <numeric>

#include "base/check.h"
#include "text/template/host_object.h"
#include "text/template/number_text.h"
#include "text/template/unicode_text.h"

namespace pelton::jinja {
namespace {

// Up to here a linear search is quicker than the sorted index.
constexpr size_t kLinearSearchLimit = 8;

int Sign(bool less, bool greater) { return less ? -1 : greater ? 1 : 0; }

// Groups of kinds whose values can be equal as dict keys.
int KeyRank(const Value& value) {
  switch (value.kind()) {
    case Kind::kBool:
    case Kind::kInt:
    case Kind::kFloat:
      return 2;
    case Kind::kString:
      return 3;
    case Kind::kTuple:
      return 4;
    case Kind::kNone:
      return 1;
    case Kind::kUndefined:
      return 0;
    default:
      return 5;
  }
}

}  // namespace

Value Value::Bool(bool value) {
  Value out(Kind::kBool);
  out.payload_.truth = value;
  return out;
}

Value Value::Integer(Int value) {
  Value out(Kind::kInt);
  std::memcpy(out.payload_.words, &value, sizeof value);
  return out;
}

Value Value::Float(double value) {
  Value out(Kind::kFloat);
  out.payload_.number = value;
  return out;
}

Value Value::FromObject(Kind kind, std::shared_ptr<Object> object) {
  Value out(kind);
  out.object_ = std::move(object);
  return out;
}

Value Value::String(std::string_view text) {
  auto object = std::make_shared<StringObject>();
  object->text = IsValidUtf8(text) ? std::string(text) : ToValidUtf8(text);
  return FromObject(Kind::kString, std::move(object));
}

Value Value::List(std::vector<Value> items) {
  auto object = std::make_shared<ListObject>();
  for (const Value& item : items) object->depth = std::max(object->depth, item.depth());
  ++object->depth;
  object->items = std::move(items);
  return FromObject(Kind::kList, std::move(object));
}

Value Value::Dict(std::vector<std::pair<Value, Value>> entries) {
  auto object = std::make_shared<DictObject>();
  std::vector<DictObject::Entry> converted;
  converted.reserve(entries.size());
  for (auto& [key, value] : entries) {
    PELTON_CHECK(IsHashable(key), "a dict key is hashable");
    converted.push_back({std::move(key), std::move(value)});
  }
  object->Build(std::move(converted));
  return FromObject(Kind::kDict, std::move(object));
}

Int Value::as_int() const {
  if (kind_ == Kind::kBool) return payload_.truth ? 1 : 0;
  Int value;
  std::memcpy(&value, payload_.words, sizeof value);
  return value;
}

double Value::as_double() const {
  return kind_ == Kind::kFloat ? payload_.number : static_cast<double>(as_int());
}

const std::string& Value::text() const { return string_object().text; }
bool Value::is_safe_text() const { return is_string() && string_object().safe; }
const std::vector<Value>& Value::items() const { return list_object().items; }

const StringObject& Value::string_object() const {
  PELTON_DCHECK(kind_ == Kind::kString, "the value is a string");
  return static_cast<const StringObject&>(*object_);
}

const ListObject& Value::list_object() const {
  PELTON_DCHECK(is_sequence(), "the value is a list or tuple");
  return static_cast<const ListObject&>(*object_);
}

const DictObject& Value::dict() const {
  PELTON_DCHECK(kind_ == Kind::kDict, "the value is a dict");
  return static_cast<const DictObject&>(*object_);
}

const RangeObject& Value::range() const { return static_cast<const RangeObject&>(*object_); }
const ViewObject& Value::view() const { return static_cast<const ViewObject&>(*object_); }

const UndefinedObject& Value::undefined() const {
  return static_cast<const UndefinedObject&>(*object_);
}

GeneratorObject& Value::generator() const { return static_cast<GeneratorObject&>(*object_); }
HostObject& Value::host() const { return static_cast<HostObject&>(*object_); }

int64_t RangeObject::At(int64_t index) const {
  const Int value = Int{start} + Int{index} * step;
  return static_cast<int64_t>(std::clamp<Int>(value, std::numeric_limits<int64_t>::min(),
                                              std::numeric_limits<int64_t>::max()));
}

int64_t StringObject::Length() const {
  int64_t length = num_code_points.load(std::memory_order_relaxed);
  if (length < 0) {
    length = CountCodePoints(text);
    num_code_points.store(length, std::memory_order_relaxed);
  }
  return length;
}

void DictObject::Build(std::vector<Entry> new_entries) {
  entries.clear();
  order_.clear();
  depth = 0;
  if (new_entries.size() <= kLinearSearchLimit) {
    for (Entry& entry : new_entries) {
      auto same = std::find_if(entries.begin(), entries.end(),
                               [&](const Entry& e) { return CompareKeys(e.key, entry.key) == 0; });
      if (same != entries.end()) {
        same->value = std::move(entry.value);
      } else {
        entries.push_back(std::move(entry));
      }
    }
  } else {
    // Equal keys become neighbours, the earliest first; its entry takes the latest value.
    std::vector<uint32_t> order(new_entries.size());
    std::iota(order.begin(), order.end(), 0U);
    std::sort(order.begin(), order.end(), [&](uint32_t a, uint32_t b) {
      const int by_key = CompareKeys(new_entries[a].key, new_entries[b].key);
      return by_key != 0 ? by_key < 0 : a < b;
    });
    std::vector<bool> keep(new_entries.size(), true);
    for (size_t first = 0, i = 1; i < order.size(); ++i) {
      if (CompareKeys(new_entries[order[first]].key, new_entries[order[i]].key) != 0) {
        first = i;
        continue;
      }
      new_entries[order[first]].value = std::move(new_entries[order[i]].value);
      keep[order[i]] = false;
    }
    std::vector<uint32_t> new_index(new_entries.size());
    for (size_t i = 0; i < new_entries.size(); ++i) {
      if (!keep[i]) continue;
      new_index[i] = static_cast<uint32_t>(entries.size());
      entries.push_back(std::move(new_entries[i]));
    }
    for (const uint32_t i : order) {
      if (keep[i]) order_.push_back(new_index[i]);
    }
  }
  for (const Entry& entry : entries) {
    depth = std::max({depth, entry.key.depth(), entry.value.depth()});
  }
  ++depth;
}

const Value* DictObject::Find(const Value& key) const {
  if (order_.empty()) {
    for (const Entry& entry : entries) {
      if (CompareKeys(entry.key, key) == 0) return &entry.value;
    }
    return nullptr;
  }
  const auto it = std::lower_bound(
      order_.begin(), order_.end(), key,
      [&](uint32_t i, const Value& k) { return CompareKeys(entries[i].key, k) < 0; });
  if (it == order_.end() || CompareKeys(entries[*it].key, key) != 0) return nullptr;
  return &entries[*it].value;
}

const Value* DictObject::Find(std::string_view key) const {
  if (order_.empty()) {
    for (const Entry& entry : entries) {
      if (entry.key.is_string() && entry.key.text() == key) return &entry.value;
    }
    return nullptr;
  }
  return Find(Value::String(key));
}

bool IsHashable(const Value& value) {
  switch (value.kind()) {
    case Kind::kList:
    case Kind::kDict:
    case Kind::kView:
      return false;
    case Kind::kTuple:
      return std::all_of(value.items().begin(), value.items().end(), IsHashable);
    default:
      return true;
  }
}

int CompareKeys(const Value& a, const Value& b) {
  const int rank = KeyRank(a);
  if (const int other = KeyRank(b); rank != other) return Sign(rank<other, rank> other);
  switch (rank) {
    case 2: {
      const Order order = CompareNumbers(a, b);
      if (order != Order::kUnordered) {
        return Sign(order == Order::kLess, order == Order::kGreater);
      }
      // All NaN are one key, after every other number.
      const bool a_nan = std::isnan(a.as_double());
      const bool b_nan = std::isnan(b.as_double());
      return Sign(!a_nan && b_nan, a_nan && !b_nan);
    }
    case 3: {
      const int order = a.text().compare(b.text());
      return Sign(order<0, order> 0);
    }
    case 4: {
      const size_t shared = std::min(a.items().size(), b.items().size());
      for (size_t i = 0; i < shared; ++i) {
        if (const int order = CompareKeys(a.items()[i], b.items()[i]); order != 0) return order;
      }
      return Sign(a.items().size() < b.items().size(), a.items().size() > b.items().size());
    }
    case 5: {
      const std::less<const Object*> before;
      return Sign(before(a.object().get(), b.object().get()),
                  before(b.object().get(), a.object().get()));
    }
    default:
      return 0;
  }
}

bool IsTruthy(const Value& value) {
  switch (value.kind()) {
    case Kind::kMissing:
    case Kind::kUndefined:
    case Kind::kNone:
      return false;
    case Kind::kBool:
      return value.as_bool();
    case Kind::kInt:
      return value.as_int() != 0;
    case Kind::kFloat:
      return value.as_double() != 0;
    case Kind::kString:
      return !value.text().empty();
    case Kind::kList:
    case Kind::kTuple:
      return !value.items().empty();
    case Kind::kDict:
      return !value.dict().entries.empty();
    case Kind::kRange:
      return value.range().size != 0;
    case Kind::kView:
      return !value.view().dict.dict().entries.empty();
    case Kind::kGenerator:
    case Kind::kObject:
      return true;
  }
  return true;
}

std::string_view TypeName(const Value& value) {
  switch (value.kind()) {
    case Kind::kMissing:
    case Kind::kUndefined:
      return "Undefined";
    case Kind::kNone:
      return "NoneType";
    case Kind::kBool:
      return "bool";
    case Kind::kInt:
      return "int";
    case Kind::kFloat:
      return "float";
    case Kind::kString:
      return "str";
    case Kind::kList:
      return "list";
    case Kind::kTuple:
      return "tuple";
    case Kind::kDict:
      return "dict";
    case Kind::kRange:
      return "range";
    case Kind::kView:
      return value.view().what == ViewObject::What::kKeys     ? "dict_keys"
             : value.view().what == ViewObject::What::kValues ? "dict_values"
                                                              : "dict_items";
    case Kind::kGenerator:
      return "generator";
    case Kind::kObject:
      return value.host().type_name();
  }
  return "object";
}

}  // namespace pelton::jinja
