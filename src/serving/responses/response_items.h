#pragma once

#include "serving/request/field_reader.h"

namespace pelton {

// Items of one request, and of a whole conversation: templates read no more messages either.
inline constexpr size_t kMaxItems = 4096;

// Reads `input` of a request for a response, a text or a list of items, into the form in which
// items are listed and kept: each an object with an id, contents as lists of parts. Messages of
// texts, function_call, function_call_output, reasoning and item_reference are read; another type,
// an unknown field and a part that is no text are failures of `reader`, named by their place.
void ReadInputItems(FieldReader& reader, const Json& input, Json* items);

// The messages, in OpenAI's form for chats, that templates read of a conversation's items: what the
// assistant reasoned, wrote and called in one turn is one message; system messages at the begin,
// with the instructions before them, are one. Instructions may be empty.
// Requires: the items are of ReadInputItems or of an answer, and none is a reference.
Json MessagesOfItems(std::string_view instructions, const Json& items);

}  // namespace pelton
