#pragma once

#include <atomic>
#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

// The values of a chat template: data only. They behave like the Python objects that Jinja2 works
// on, because published templates depend on that (printing, integer division, truth, equality).
namespace pelton::jinja {

// Python's integers have no width. 128 bits hold every integer that JSON requests carry; arithmetic
// beyond that is an error, never a wrap.
using Int = __int128;

enum class Kind : uint8_t {
  kMissing,  // no value at all: an unset variable, an argument that was not given
  kUndefined,
  kNone,
  kBool,
  kInt,
  kFloat,
  kString,
  kList,
  kTuple,
  kDict,
  kRange,
  kView,       // dict.keys(), .values() or .items()
  kGenerator,  // yields its values once
  kObject,     // functions, macros, namespaces, loop
};

// Deepest nesting of lists, dicts and generators. It bounds every recursion over a value.
inline constexpr int kMaxValueDepth = 128;

class RenderContext;
class Value;

// Live bytes of one rendering, counted by the objects that it creates.
struct MemoryMeter {
  size_t live_bytes = 0;
};

// What a value shares when it is copied. shared_ptr because values are copied freely between
// variables, containers and results and no single one of them is the owner. Objects never form a
// cycle: everything that can change after its creation belongs to the rendering (see Namespace).
struct Object {
  Object() = default;
  Object(const Object&) = delete;
  Object& operator=(const Object&) = delete;
  virtual ~Object() {
    if (meter != nullptr) meter->live_bytes -= metered_bytes;
  }

  MemoryMeter* meter = nullptr;  // null for values made outside a rendering
  size_t metered_bytes = 0;
  int depth = 0;  // 1 + the deepest value inside, 0 for none
};

struct StringObject;
struct ListObject;
struct DictObject;
struct RangeObject;
struct ViewObject;
struct UndefinedObject;
struct GeneratorObject;
class HostObject;

// One value; 40 bytes, cheap to copy. Immutable from the outside and safe to share between threads.
class Value {
 public:
  Value() = default;  // None
  static Value Missing() { return Value(Kind::kMissing); }
  static Value Bool(bool value);
  static Value Integer(Int value);
  static Value Float(double value);
  // Bytes that are not UTF-8 become U+FFFD, one per maximal subpart.
  static Value String(std::string_view text);
  static Value List(std::vector<Value> items);
  // Later entries replace earlier ones with an equal key, at the earlier one's place.
  // Requires: every key is hashable (not a list, dict or generator).
  static Value Dict(std::vector<std::pair<Value, Value>> entries);
  static Value FromObject(Kind kind, std::shared_ptr<Object> object);

  Kind kind() const { return kind_; }
  bool is(Kind kind) const { return kind_ == kind; }
  bool is_missing() const { return kind_ == Kind::kMissing; }
  bool is_undefined() const { return kind_ == Kind::kUndefined; }
  bool is_none() const { return kind_ == Kind::kNone; }
  bool is_string() const { return kind_ == Kind::kString; }
  bool is_integral() const { return kind_ == Kind::kInt || kind_ == Kind::kBool; }
  bool is_number() const { return is_integral() || kind_ == Kind::kFloat; }
  bool is_sequence() const { return kind_ == Kind::kList || kind_ == Kind::kTuple; }

  // Requires: the kind that the name says; as_int takes booleans too, as_double any number.
  bool as_bool() const { return payload_.truth; }
  Int as_int() const;
  double as_double() const;
  const std::string& text() const;
  bool is_safe_text() const;  // a string marked as not to be escaped again (Markup)
  const std::vector<Value>& items() const;
  const DictObject& dict() const;
  const RangeObject& range() const;
  const ViewObject& view() const;
  const UndefinedObject& undefined() const;
  GeneratorObject& generator() const;
  HostObject& host() const;
  const StringObject& string_object() const;
  const ListObject& list_object() const;

  const std::shared_ptr<Object>& object() const { return object_; }
  int depth() const { return object_ ? object_->depth : 0; }

 private:
  explicit Value(Kind kind) : kind_(kind) {}

  Kind kind_ = Kind::kNone;
  union Payload {
    bool truth;
    double number;
    uint64_t words[2];  // an Int, low word first
  } payload_ = {};
  std::shared_ptr<Object> object_;
};

struct StringObject : Object {
  std::string text;  // valid UTF-8
  bool safe = false;
  mutable std::atomic<int64_t> num_code_points{-1};  // -1 until asked for

  int64_t Length() const;
  bool IsAscii() const { return Length() == static_cast<int64_t>(text.size()); }
};

struct ListObject : Object {
  std::vector<Value> items;
  bool is_group = false;  // a pair of `groupby`, with the attributes grouper and list
};

// A dict in insertion order. Immutable once built.
struct DictObject : Object {
  struct Entry {
    Value key;
    Value value;
  };

  // Replaces the content; see Value::Dict for equal keys.
  void Build(std::vector<Entry> new_entries);
  const Value* Find(const Value& key) const;  // null if absent
  const Value* Find(std::string_view key) const;

  std::vector<Entry> entries;

 private:
  // Entry indices in key order, for dicts too long for a linear search. Sorted rather than hashed:
  // the keys come from requests and nobody can choose keys that collide.
  std::vector<uint32_t> order_;
};

struct RangeObject : Object {
  int64_t start = 0;
  int64_t step = 1;  // not 0
  int64_t size = 0;
  int64_t stop = 0;  // as given, for printing
  // Clamped to int64_t, which only places outside the range need.
  int64_t At(int64_t index) const;
};

struct ViewObject : Object {
  enum class What : uint8_t { kKeys, kValues, kItems };
  Value dict;
  What what = What::kKeys;
};

// A name for "no value here" that remembers what to say when it is used as a value.
struct UndefinedObject : Object {
  std::string message;
  bool security = false;  // the attribute exists in Python but the sandbox forbids it
};

// Three-way order of dict keys: equal exactly where Python's == is true. Requires: both hashable.
int CompareKeys(const Value& a, const Value& b);
bool IsHashable(const Value& value);

// Python's bool().
bool IsTruthy(const Value& value);

// The name of the value's type as Python spells it, for error messages.
std::string_view TypeName(const Value& value);

}  // namespace pelton::jinja
