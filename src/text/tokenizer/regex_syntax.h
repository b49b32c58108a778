#pragma once

#include <string>
#include <string_view>

#include "base/status.h"

namespace pelton::tokenizer {

// An expression of Oniguruma's (Ruby) syntax as PCRE2 understands it. Only what the two read
// differently is rewritten: white space and word characters, and intersections of classes
// ("[\p{L}&&[^\p{Han}]]", at the end of a class). InvalidArgument if a class or an escape does not
// end, or for a set operation of another form.
Result<std::string> TranslateRegex(std::string_view pattern);

}  // namespace pelton::tokenizer
