#include "serving/api/query_fields.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <charconv>

namespace pelton {
namespace {

constexpr size_t kMostFields = 64;

// Percent-decoded, "+" being a blank; nothing if an escape is broken.
std::optional<std::string> Decoded(std::string_view text) {
  std::string out;
  for (size_t i = 0; i < text.size(); ++i) {
    if (text[i] != '%') {
      out += text[i] == '+' ? ' ' : text[i];
      continue;
    }
    uint8_t byte = 0;
    if (text.size() - i < 3) return std::nullopt;
    const char* const begin = text.data() + i + 1;
    if (std::from_chars(begin, begin + 2, byte, 16).ptr != begin + 2) return std::nullopt;
    out += static_cast<char>(byte);
    i += 2;
  }
  return out;
}

}  // namespace

QueryFields::QueryFields(std::string_view query) {
  while (!query.empty()) {
    const std::string_view pair = query.substr(0, query.find('&'));
    query.remove_prefix(std::min(query.size(), pair.size() + 1));
    if (pair.empty()) continue;
    const size_t equal = std::min(pair.find('='), pair.size());
    std::optional<std::string> name = Decoded(pair.substr(0, equal));
    std::optional<std::string> value = Decoded(pair.substr(std::min(pair.size(), equal + 1)));
    if (!name || !value || fields_.size() >= kMostFields) {
      Refuse("",
             fmt::format("expected a query of at most {} fields, percent-encoded", kMostFields));
      return;
    }
    // Clients write lists as "name[]".
    if (name->ends_with("[]")) name->resize(name->size() - 2);
    fields_.push_back({*std::move(name), *std::move(value)});
  }
}

const std::string* QueryFields::Find(std::string_view name) {
  const std::string* found = nullptr;
  for (Field& field : fields_) {
    if (field.name != name) continue;
    field.asked = true;
    if (found != nullptr) Refuse(name, fmt::format("{}: found it twice", name));
    found = &field.value;
  }
  return found;
}

void QueryFields::String(std::string_view name, std::string* out) {
  if (const std::string* value = Find(name)) *out = *value;
}

void QueryFields::Whole(std::string_view name, size_t least, size_t most, size_t* out) {
  const std::string* value = Find(name);
  if (value == nullptr) return;
  size_t number = 0;
  const char* const end = value->data() + value->size();
  const auto parsed = std::from_chars(value->data(), end, number);
  if (parsed.ec != std::errc() || parsed.ptr != end || number < least || number > most) {
    return Refuse(name, fmt::format("{}: found \"{}\", expected {} to {}", name,
                                    value->substr(0, 40), least, most));
  }
  *out = number;
}

void QueryFields::Choice(std::string_view name, std::initializer_list<std::string_view> values,
                         std::string* out) {
  const std::string* value = Find(name);
  if (value == nullptr) return;
  if (std::ranges::find(values, *value) == values.end()) {
    return Refuse(name, fmt::format("{}: found \"{}\", expected {}", name, value->substr(0, 40),
                                    fmt::join(values, " or ")));
  }
  *out = *value;
}

void QueryFields::Strings(std::string_view name, std::vector<std::string>* out) {
  for (Field& field : fields_) {
    if (field.name != name) continue;
    field.asked = true;
    out->push_back(field.value);
  }
}

void QueryFields::Refuse(std::string_view name, std::string message) {
  if (error_) return;
  error_ = ApiError{.message = std::move(message), .param = std::string(name)};
}

std::optional<ApiError> QueryFields::Error() {
  for (const Field& field : fields_) {
    if (!field.asked) {
      const std::string name = field.name.substr(0, 40);
      Refuse(name, fmt::format("unknown field \"{}\" of the query", name));
    }
  }
  return error_;
}

void PageQuery::Read(QueryFields& query, size_t most) {
  std::string order = ascending ? "asc" : "desc";
  query.Whole("limit", 1, most, &limit);
  query.Choice("order", {"asc", "desc"}, &order);
  query.String("after", &after);
  ascending = order == "asc";
}

std::optional<ApiError> TakePage(const PageQuery& query, const std::vector<std::string>& ids,
                                 Page* page) {
  size_t skip = 0;  // in the order asked for
  if (!query.after.empty()) {
    const auto found = std::ranges::find(ids, query.after);
    if (found == ids.end()) {
      return ApiError{.message = fmt::format("after: nothing in the list has the id \"{}\"",
                                             query.after.substr(0, 80)),
                      .param = "after"};
    }
    const auto at = static_cast<size_t>(found - ids.begin());
    skip = query.ascending ? at + 1 : ids.size() - at;
  }
  for (size_t i = skip; i < ids.size() && page->indices.size() < query.limit; ++i) {
    page->indices.push_back(query.ascending ? i : ids.size() - 1 - i);
  }
  page->has_more = skip + page->indices.size() < ids.size();
  return std::nullopt;
}

}  // namespace pelton
