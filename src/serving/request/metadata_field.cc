#include "serving/request/metadata_field.h"

#include <fmt/format.h>

#include <string>

namespace pelton {

void ReadMetadata(FieldReader& reader, Json* out) {
  const Json* metadata = reader.Find("metadata");
  if (metadata == nullptr) return;
  constexpr size_t kMostPairs = 16, kMostKey = 64, kMostValue = 512;
  bool fits = metadata->is_object() && metadata->size() <= kMostPairs;
  if (fits) {
    for (const auto& [key, value] : metadata->items()) {
      fits &= key.size() <= kMostKey && value.is_string() &&
              value.get_ref<const std::string&>().size() <= kMostValue;
    }
  }
  if (fits) {
    *out = *metadata;
    return;
  }
  reader.Fail("metadata", fmt::format("at most {} texts of up to {} bytes, under names of up to {}",
                                      kMostPairs, kMostValue, kMostKey));
}

}  // namespace pelton
