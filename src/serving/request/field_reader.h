#pragma once

#include <cstdint>
#include <limits>
#include <nlohmann/json.hpp>
#include <optional>
#include <string>
#include <string_view>
#include <type_traits>
#include <utility>
#include <vector>

#include "base/status.h"
#include "runtime/sequence/sampling_params.h"

namespace pelton {

using Json = nlohmann::ordered_json;

// `text` as JSON. InvalidArgument if it is none, nested deeper than 64, or has objects of so many
// members (4096 of one are allowed) that reading them would not stay linear in the text.
Result<Json> ParseJson(std::string_view text);
// The same for an object; InvalidArgument if it is something else.
Result<Json> ParseObject(std::string_view text);

// Bytes that the value of a text takes at most, about; beyond the text's own size it depends on how
// many values the text has.
size_t MostJsonBytes(std::string_view text);

// `value` as JSON text in which bytes that are not UTF-8 became U+FFFD; never throws.
std::string ToText(const Json& value);

// Reads the fields of a request's object one after another. A field that is absent or null leaves
// its target as it is. The first failure is kept, with the name of its field; every field that was
// asked for counts as known. Borrows the object. One thread.
class FieldReader {
 public:
  explicit FieldReader(const Json& object) : object_(object) {}

  // The value, if it is there and not null.
  const Json* Find(const char* name);
  bool Has(const char* name) { return Find(name) != nullptr; }

  void Float(const char* name, float* out);
  void Bool(const char* name, bool* out);
  void String(const char* name, std::string* out);
  void Strings(const char* name, std::vector<std::string>* out);  // or one string
  void Ids(const char* name, std::vector<int32_t>* out);
  void Biases(const char* name, std::vector<LogitBias>* out);
  template <typename Integer>
  void Whole(const char* name, Integer* out) {
    const Json* value = Typed(name, &Json::is_number_integer, "a whole number");
    if (value == nullptr) return;
    if (std::is_unsigned_v<Integer> && *value < 0) return Fail(name, "a whole number from 0 on");
    if (*value > std::numeric_limits<Integer>::max() ||
        *value < std::numeric_limits<Integer>::min()) {
      return Fail(name, "a smaller number");
    }
    *out = value->get<Integer>();
  }
  template <typename Integer>
  void Whole(const char* name, std::optional<Integer>* out) {
    if (!Has(name)) return;
    Integer value = 0;
    Whole(name, &value);
    *out = value;
  }

  // Keeps "NAME: found FOUND, expected EXPECTED".
  void Fail(const char* name, std::string_view expected);
  // Keeps a message of its own for a field.
  void Refuse(std::string name, std::string message);
  // Keeps the failure of an object inside of this one, which is at `place`.
  void Adopt(std::string_view place, const FieldReader& inner);
  // A field that was never asked for is a failure that names it and the nearest known one.
  void RefuseUnknown();

  bool ok() const { return status_.ok(); }
  const Status& status() const { return status_; }
  const std::string& failed_field() const { return failed_field_; }

 private:
  const Json* Typed(const char* name, bool (Json::*is)() const noexcept, const char* expected);

  const Json& object_;
  std::vector<std::string> known_;
  Status status_;
  std::string failed_field_;
};

}  // namespace pelton
