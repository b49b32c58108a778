#include "serving/request/body_fields.h"

namespace pelton {

std::optional<ApiError> ReadBody(std::string_view body,
                                 const std::function<void(FieldReader&)>& read) {
  const Result<Json> object = ParseObject(body);
  if (!object.ok()) return ApiErrorOf(object.status());
  FieldReader reader(*object);
  read(reader);
  reader.RefuseUnknown();
  if (!reader.ok()) return ApiErrorOf(reader.status(), reader.failed_field());
  return std::nullopt;
}

}  // namespace pelton
