#pragma once

#include <cstddef>
#include <initializer_list>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "serving/api/api_error.h"

namespace pelton {

// Reads the fields of a query, "a=1&b=%20x", one after another. A field that is absent leaves its
// target as it is; one that is there twice, or that nobody asked for, is a failure. The first
// failure is kept, with the name of its field. One thread.
class QueryFields {
 public:
  explicit QueryFields(std::string_view query);

  void String(std::string_view name, std::string* out);
  void Whole(std::string_view name, size_t least, size_t most, size_t* out);
  void Choice(std::string_view name, std::initializer_list<std::string_view> values,
              std::string* out);
  // Any number of times.
  void Strings(std::string_view name, std::vector<std::string>* out);
  void Refuse(std::string_view name, std::string message);

  // Requires: every field was asked for.
  std::optional<ApiError> Error();

 private:
  struct Field {
    std::string name, value;
    bool asked = false;
  };
  const std::string* Find(std::string_view name);

  std::vector<Field> fields_;
  std::optional<ApiError> error_;
};

// Which part of a list is asked for: OpenAI's limit, order and after.
struct PageQuery {
  size_t limit = 20;  // 1 to `most`
  bool ascending = false;
  std::string after;  // the id before the first; empty: from the begin

  void Read(QueryFields& query, size_t most);
};

// One page of a list whose ids, oldest first, are `ids`: indices into it, in the order asked for,
// and whether there are more. The refusal if `after` is none of them.
struct Page {
  std::vector<size_t> indices;
  bool has_more = false;
};
std::optional<ApiError> TakePage(const PageQuery& query, const std::vector<std::string>& ids,
                                 Page* page);

}  // namespace pelton
