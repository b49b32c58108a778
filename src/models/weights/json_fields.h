#pragma once

// Includes the JSON library: for .cc files only.

#include <simdjson.h>

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/status.h"

namespace pelton {

// A parsed JSON text. Movable; elements stay valid.
class JsonDocument {
 public:
  // DataLoss if `text` is not one JSON value (UTF-8, nested at most 64 deep).
  static Result<JsonDocument> Parse(std::string_view text, std::string_view file);

  simdjson::dom::element root() const { return root_; }

 private:
  std::unique_ptr<simdjson::dom::parser> parser_;  // owns what root_ refers to
  simdjson::dom::element root_;
};

// "an object", "a string", "12", for the `found` of messages.
std::string DescribeJson(simdjson::dom::element element);

// The members of a JSON object, for reading typed values. A member that is absent or null gives
// nullopt; one of another type or out of range is DataLoss, naming the file and the member's path.
class JsonFields {
 public:
  // `path` is how messages name the object: "" for the root, "rope_scaling" for a member. DataLoss
  // if `element` is no object or states a name twice: two readers would see different values.
  static Result<JsonFields> Of(simdjson::dom::element element, std::string_view file,
                               std::string_view path);

  size_t size() const { return members_.size(); }
  // Present, null or not.
  bool States(std::string_view name) const;
  // Present and not null.
  bool Has(std::string_view name) const { return Find(name).has_value(); }
  std::optional<simdjson::dom::element> Find(std::string_view name) const;

  Result<std::optional<uint64_t>> Unsigned(std::string_view name, uint64_t min, uint64_t max) const;
  // Integers count as numbers.
  Result<std::optional<double>> Number(std::string_view name, double min, double max) const;
  Result<std::optional<bool>> Bool(std::string_view name) const;
  Result<std::optional<std::string>> String(std::string_view name) const;
  Result<std::optional<JsonFields>> Object(std::string_view name) const;
  Result<std::optional<std::vector<double>>> Numbers(std::string_view name, double min,
                                                     double max) const;
  Result<std::optional<std::vector<std::string>>> Strings(std::string_view name) const;

  const std::string& file() const { return file_; }
  // "rope_scaling.factor".
  std::string PathOf(std::string_view name) const;

 private:
  struct Member {
    std::string_view name;
    simdjson::dom::element value;
  };

  std::string file_;
  std::string path_;
  std::vector<Member> members_;
  std::vector<uint32_t> by_name_;
};

}  // namespace pelton
