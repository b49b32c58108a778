#pragma once

#include <optional>
#include <string>
#include <string_view>

#include "serving/api/api_error.h"
#include "serving/model/language_model.h"

namespace pelton {

// A model and the name under which clients ask for it.
struct ServedModel {
  LanguageModel& model;
  std::string name;

  // The refusal of a request that names another model, its param "model"; nothing if it names this
  // one or, by an empty text, none.
  std::optional<ApiError> Refuse(std::string_view asked) const;
};

}  // namespace pelton
