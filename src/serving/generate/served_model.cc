#include "serving/generate/served_model.h"

#include <fmt/format.h>

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

std::optional<ApiError> ServedModel::Refuse(std::string_view asked) const {
  if (asked.empty() || asked == name) return std::nullopt;
  return Unknown(asked, fmt::format("\"{}\"", name));
}

ApiError UnknownModel(std::string_view asked, const ModelDirectory& models) {
  constexpr size_t kMostNames = 20;  // of a message
  std::string names;
  size_t count = 0;
  for (const ListedModel& model : models.List()) {
    if (++count > kMostNames) break;
    names += fmt::format("{}\"{}\"", count == 1 ? "" : " or ", model.name);
  }
  return Unknown(asked, names);
}

std::vector<ListedModel> ModelsAndEncoder::List() const {
  std::vector<ListedModel> list;
  if (others_ != nullptr) list = others_->List();
  list.push_back({name_, nullptr, &encoder_});
  return list;
}

void ModelsAndEncoder::Open(const std::string& name, Use use) {
  if (others_ != nullptr && name != name_) return others_->Open(name, std::move(use));
  use(nullptr,
      {.message = fmt::format("\"{}\" gives embeddings and no text; ask /v1/embeddings", name_),
       .param = "model"});
}

void SingleModel::Open(const std::string& name, Use use) {
  const std::optional<ApiError> error = served_->Refuse(name);
  use(error ? nullptr : served_, error.value_or(ApiError()));
}

}  // namespace pelton
