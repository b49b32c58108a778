#pragma once

#include <string>
#include <string_view>

namespace pelton {

// Whether a client's own name for its request may be repeated in headers and logs: 1 to 128
// letters, digits and "._:-".
bool IsSafeRequestId(std::string_view text);

// 32 hexadecimal digits that no other request of any process has. Any thread.
std::string NewRequestId();

}  // namespace pelton
