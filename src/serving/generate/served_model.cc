#include "serving/generate/served_model.h"

#include <fmt/format.h>

namespace pelton {

std::optional<ApiError> ServedModel::Refuse(std::string_view asked) const {
  if (asked.empty() || asked == name) return std::nullopt;
  return ApiError{
      .status = 404,
      .message = fmt::format("model: found \"{}\", expected \"{}\"", asked.substr(0, 100), name),
      .param = "model",
      .code = "model_not_found"};
}

}  // namespace pelton
