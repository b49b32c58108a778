#pragma once

#include <string>
#include <string_view>

#include "base/status.h"

namespace pelton {

// `text` from a file in double quotes, fit for a terminal or a log: bytes outside printable ASCII
// as \xNN, cut after 80 bytes with "...".
std::string Quoted(std::string_view text);

// DataLoss "FILE: FIELD: found FOUND, expected EXPECTED". `field`, `found` and `expected` must be
// printable: names and values taken from the file go through Quoted.
Status FieldError(std::string_view file, std::string_view field, std::string_view found,
                  std::string_view expected);

// The same as Unimplemented: the file may be right, but this build cannot use it.
Status UnsupportedField(std::string_view file, std::string_view field, std::string_view found,
                        std::string_view expected);

}  // namespace pelton
