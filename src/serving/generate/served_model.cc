#include "serving/generate/served_model.h"

#include <fmt/format.h>

#include <algorithm>

namespace pelton {

namespace {

ApiError Unknown(std::string_view asked, std::string_view expected) {
  return {
      .status = 404,
      .message = fmt::format("model: found \"{}\", expected {}", asked.substr(0, 100), expected),
      .param = "model",
      .code = "model_not_found"};
}

}  // namespace

bool ServedName::Is(std::string_view asked) const {
  const auto is = [&](std::string_view text) {
    return text == name || std::find(aliases.begin(), aliases.end(), text) != aliases.end();
  };
  constexpr std::string_view kLatest = ":latest";
  return is(asked) ||
         (asked.ends_with(kLatest) && is(asked.substr(0, asked.size() - kLatest.size())));
}

std::optional<ApiError> ServedModel::Refuse(std::string_view asked) const {
  if (asked.empty() || called.Is(asked)) return std::nullopt;
  return Unknown(asked, fmt::format("\"{}\"", name()));
}

ApiError UnknownModel(std::string_view asked, const ModelDirectory& models) {
  constexpr size_t kMostNames = 20;  // of a message
  std::string names;
  size_t count = 0;
  for (const ListedModel& model : models.List()) {
    if (++count > kMostNames) break;
    names += fmt::format("{}\"{}\"", count == 1 ? "" : " or ", model.called.name);
  }
  return Unknown(asked, names);
}

}  // namespace pelton
