#pragma once

#include <cstddef>
#include <cstdint>
#include <span>

#include "base/byte_cursor.h"

namespace pelton::tokenizer {

// Reads the fields of one message in Protocol Buffers' wire format, front to back. Damaged input
// ends the message with ok() false.
class ProtobufReader {
 public:
  explicit ProtobufReader(std::span<const std::byte> message) : cursor_(message) {}

  // Moves to the next field. False at the end or at damage.
  bool Next();
  bool ok() const { return ok_; }

  uint32_t field() const { return field_; }
  bool is_varint() const { return wire_ == 0; }
  bool is_bytes() const { return wire_ == 2; }
  bool is_fixed32() const { return wire_ == 5; }
  // The value: of a varint or fixed number its bits, of a string or message its bytes.
  uint64_t number() const { return number_; }
  std::span<const std::byte> bytes() const { return bytes_; }
  float float_value() const;

 private:
  bool Varint(uint64_t* value);
  bool Value();

  ByteCursor cursor_;
  bool ok_ = true;
  uint32_t field_ = 0;
  uint32_t wire_ = 0;
  uint64_t number_ = 0;
  std::span<const std::byte> bytes_;
};

}  // namespace pelton::tokenizer
