#pragma once

#include <string>
#include <string_view>

#include "runtime/engine/request.h"
#include "serving/request/field_reader.h"
#include "text/tokenizer/tokenizer.h"

namespace pelton {

// A token's bytes as text: as they are, or, of a token that ends inside a character,
// "bytes:\\xe2\\x80" as OpenAI's interface writes it.
std::string TokenText(std::string_view piece);

// {"token","logprob","bytes","top_logprobs"} of a token, as chats and responses state it.
Json LogprobJson(const Tokenizer& tokenizer, const TokenEvent& event);

}  // namespace pelton
