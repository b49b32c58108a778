#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "base/status.h"

namespace pelton {

// One field of a form.
struct FormPart {
  std::string name;
  std::string filename;   // empty: the field is no file
  std::string_view body;  // of the text that was parsed
};

// The boundary of a Content-Type "multipart/form-data; boundary=…", RFC 2046: 1 to 70 characters.
// InvalidArgument if it is another type or has none.
Result<std::string> FormBoundary(std::string_view content_type);

// Parses a form, RFC 7578. Strict: it begins with a boundary and ends with the last one, lines end
// in CR LF, every part has one name and no transfer encoding but the identity; at most 32 parts, 8
// KiB of headers each. The parts borrow `body`. Linear in the body. InvalidArgument with the
// reason.
Result<std::vector<FormPart>> ParseForm(std::string_view body, std::string_view boundary);

}  // namespace pelton
