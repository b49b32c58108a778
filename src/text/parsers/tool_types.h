#pragma once

#include <map>
#include <nlohmann/json_fwd.hpp>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "text/parsers/output_parser.h"

namespace pelton {

// Which types the tools' schemas give the arguments. Families that write arguments as plain text
// need it: without a type, an argument is text.
class ToolTypes {
 public:
  // kInvalidArgument if the parameters of a tool are not a JSON object.
  static Result<ToolTypes> Make(std::span<const ToolSpec> tools);

  // The JSON value that `text` stands for as argument `name` of `tool`: text, unless the schema
  // gives other types only and the text is JSON. Words of Python count as JSON for booleans and
  // null.
  std::string JsonValue(std::string_view tool, std::string_view name, std::string_view text) const;

 private:
  struct Types {
    bool string = false, boolean = false, null = false, other = false;
  };
  static void Collect(const nlohmann::json& schema, const nlohmann::json& root, int depth,
                      int* budget, Types* types);

  std::map<std::string, std::map<std::string, Types, std::less<>>, std::less<>> tools_;
};

// The arguments of one call, added one by one. A name that comes again replaces the value.
class ArgumentList {
 public:
  void Clear();
  void Add(std::string name, std::string json_value);
  bool empty() const { return members_.empty(); }
  // The JSON object of all, in the order of their first appearance.
  std::string Json() const;

 private:
  std::vector<std::pair<std::string, std::string>> members_;
  std::map<std::string, size_t, std::less<>> index_;
};

}  // namespace pelton
