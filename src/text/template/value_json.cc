#include "text/template/value_json.h"

#include <nlohmann/json.hpp>
#include <string>
#include <utility>
#include <vector>

#include "text/template/number_text.h"

namespace pelton::jinja {
namespace {

// Builds the value while nlohmann's parser reads, without its own tree in between. The parser keeps
// its state in a vector, so deep texts cost no stack.
class ValueBuilder : public nlohmann::json_sax<nlohmann::json> {
 public:
  bool null() override { return Add(Value()); }
  bool boolean(bool value) override { return Add(Value::Bool(value)); }
  bool number_integer(number_integer_t value) override { return Add(Value::Integer(value)); }
  bool number_unsigned(number_unsigned_t value) override { return Add(Value::Integer(value)); }
  bool number_float(number_float_t value, const string_t& text) override {
    // Integers beyond 64 bits arrive here.
    if (text.find_first_of(".eE") == string_t::npos) {
      if (const auto integer = ParseInt(text, 10)) return Add(Value::Integer(*integer));
    }
    return Add(Value::Float(value));
  }
  bool string(string_t& text) override { return Add(Value::String(text)); }
  bool binary(binary_t&) override { return Fail("JSON has no binary values"); }

  bool start_object(std::size_t) override { return Open(true); }
  bool start_array(std::size_t) override { return Open(false); }
  bool key(string_t& text) override {
    open_.back().entries.emplace_back(Value::String(text), Value());
    return true;
  }
  bool end_object() override {
    Value dict = Value::Dict(std::move(open_.back().entries));
    open_.pop_back();
    return Add(std::move(dict));
  }
  bool end_array() override {
    Value list = Value::List(std::move(open_.back().items));
    open_.pop_back();
    return Add(std::move(list));
  }

  bool parse_error(std::size_t position, const std::string&,
                   const nlohmann::detail::exception&) override {
    return Fail("the text is no JSON, from byte " + std::to_string(position));
  }

  Value TakeResult() { return std::move(result_); }
  const std::string& error() const { return error_; }

 private:
  struct Container {
    bool is_object;
    std::vector<Value> items;
    std::vector<std::pair<Value, Value>> entries;
  };

  bool Fail(std::string message) {
    error_ = std::move(message);
    return false;
  }

  bool Open(bool is_object) {
    if (open_.size() >= kMaxValueDepth) {
      return Fail("the JSON is nested more than " + std::to_string(kMaxValueDepth) + " deep");
    }
    open_.push_back({is_object, {}, {}});
    return true;
  }

  bool Add(Value value) {
    if (open_.empty()) {
      result_ = std::move(value);
    } else if (open_.back().is_object) {
      open_.back().entries.back().second = std::move(value);
    } else {
      open_.back().items.push_back(std::move(value));
    }
    return true;
  }

  std::vector<Container> open_;
  Value result_;
  std::string error_;
};

}  // namespace

Result<Value> ValueFromJson(std::string_view json) {
  ValueBuilder builder;
  // A sax parser reports errors through the builder and throws nothing.
  if (!nlohmann::json::sax_parse(json, &builder)) return InvalidArgument(builder.error());
  return builder.TakeResult();
}

}  // namespace pelton::jinja
