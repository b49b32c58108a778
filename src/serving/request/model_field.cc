#include "serving/request/model_field.h"

#include <nlohmann/json.hpp>

#include "serving/request/field_reader.h"

namespace pelton {
namespace {

// Listens to a parser until the field is there. The parser asks every handler whether it goes on.
class ModelFinder final : public nlohmann::json_sax<nlohmann::json> {
 public:
  bool found() const { return found_; }
  bool failed() const { return failed_; }
  std::string& name() { return name_; }

  bool null() override { return Value(); }
  bool boolean(bool) override { return Value(); }
  bool number_integer(number_integer_t) override { return Value(); }
  bool number_unsigned(number_unsigned_t) override { return Value(); }
  bool number_float(number_float_t, const string_t&) override { return Value(); }
  bool binary(binary_t&) override { return Value(); }
  bool string(string_t& text) override {
    if (depth_ == 1 && is_model_) name_ = std::move(text);
    return Value();
  }
  bool key(string_t& name) override {
    is_model_ = depth_ == 1 && name == "model";
    return true;
  }
  bool start_object(size_t) override { return Open(); }
  bool end_object() override { return Close(); }
  // What is a list has no fields, however long it is.
  bool start_array(size_t) override {
    in_list_ |= depth_ == 0;
    return Open();
  }
  bool end_array() override { return Close(); }
  bool parse_error(size_t, const std::string&, const nlohmann::detail::exception&) override {
    failed_ = true;
    return false;
  }

 private:
  bool Open() {
    ++depth_;
    return !in_list_;
  }
  bool Close() {
    --depth_;
    return Value();
  }
  // A value has ended; that of the field is all that is wanted.
  bool Value() {
    found_ |= depth_ == 1 && is_model_;
    return !found_;
  }

  size_t depth_ = 0;
  bool is_model_ = false;  // the last name of the object is "model"
  bool in_list_ = false;
  bool found_ = false;
  bool failed_ = false;
  std::string name_;
};

}  // namespace

Result<std::string> ModelFieldOf(std::string_view body) {
  ModelFinder finder;
  nlohmann::json::sax_parse(body.begin(), body.end(), &finder);
  if (!finder.failed()) return std::move(finder.name());
  RETURN_IF_ERROR(ParseJson(body).status());
  return std::string();
}

}  // namespace pelton
