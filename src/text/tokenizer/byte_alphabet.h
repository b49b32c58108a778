#pragma once

#include <cstdint>
#include <string>
#include <string_view>

namespace pelton::tokenizer {

// Byte-level BPE writes each byte as a printable character: itself for most of Latin-1, and
// U+0100 + n for the n-th of the others. Source: bytes_to_unicode of GPT-2's encoder.py.

// The byte that `code_point` stands for, or -1.
int ByteOfCharacter(uint32_t code_point);

// Appends to `out` the bytes that `text` stands for. False, and `out` as before, if a character is
// not of the alphabet.
bool AppendBytesOf(std::string_view text, std::string* out);

}  // namespace pelton::tokenizer
