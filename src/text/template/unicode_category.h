#pragma once

#include <utf8proc.h>

namespace pelton::jinja {

inline utf8proc_category_t Category(char32_t c) {
  return utf8proc_category(static_cast<utf8proc_int32_t>(c));
}

}  // namespace pelton::jinja
