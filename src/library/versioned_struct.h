#pragma once

#include <fmt/format.h>

#include <algorithm>
#include <cstddef>
#include <cstring>
#include <string_view>

#include "base/status.h"

namespace pelton::library {

// More than any struct of the interface will have: what is larger is no struct_size.
constexpr size_t kMostStructBytes = 4096;

inline Status CheckStructSize(std::string_view name, size_t found, size_t smallest) {
  if (found >= smallest && found <= kMostStructBytes) return OkStatus();
  return InvalidArgument(
      fmt::format("{}.struct_size: found {}, expected {} or a little more; call {}_init first",
                  name, found, smallest, name));
}

// Reads a caller's struct, which may have been compiled with an older header, or with a newer one
// whose further fields must be 0 then. `init` gives the fields that it lacks; a null struct lacks
// all. `smallest`: its size in the first version. InvalidArgument for another struct_size,
// Unimplemented for further fields in use.
template <typename Struct>
Status ReadStruct(std::string_view name, const Struct* given, size_t smallest,
                  void (*init)(Struct*), Struct* out) {
  init(out);
  if (given == nullptr) return OkStatus();
  const size_t size = given->struct_size;
  RETURN_IF_ERROR(CheckStructSize(name, size, smallest));
  const char* const bytes = reinterpret_cast<const char*>(given);
  for (size_t i = sizeof(Struct); i < size; ++i) {
    if (bytes[i] == 0) continue;
    return Unimplemented(fmt::format(
        "{}: a field is in use that this library, version " PELTON_VERSION ", does not know yet",
        name));
  }
  std::memcpy(out, given, std::min(size, sizeof(Struct)));
  out->struct_size = sizeof(Struct);
  return OkStatus();
}

// Fills a caller's struct as far as it goes; what it has beyond becomes 0.
template <typename Struct>
Status FillStruct(std::string_view name, const Struct& from, size_t smallest, Struct* given) {
  const size_t size = given->struct_size;
  RETURN_IF_ERROR(CheckStructSize(name, size, smallest));
  char* const bytes = reinterpret_cast<char*>(given);
  std::memcpy(bytes, &from, std::min(size, sizeof(Struct)));
  if (size > sizeof(Struct)) std::memset(bytes + sizeof(Struct), 0, size - sizeof(Struct));
  given->struct_size = size;
  return OkStatus();
}

}  // namespace pelton::library
