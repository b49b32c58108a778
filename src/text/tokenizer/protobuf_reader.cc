#include "text/tokenizer/protobuf_reader.h"

#include <bit>

namespace pelton::tokenizer {

bool ProtobufReader::Varint(uint64_t* value) {
  *value = 0;
  for (unsigned shift = 0; shift < 64; shift += 7) {
    uint8_t byte;
    if (!cursor_.Read(&byte)) return false;
    *value |= static_cast<uint64_t>(byte & 0x7F) << shift;
    if ((byte & 0x80) == 0) return true;
  }
  return false;
}

bool ProtobufReader::Value() {
  number_ = 0;
  bytes_ = {};
  uint32_t fixed32;
  switch (wire_) {
    case 0:
      return Varint(&number_);
    case 1:
      return cursor_.Read(&number_);
    case 2: {
      uint64_t size;
      return Varint(&size) && cursor_.ReadBytes(size, &bytes_);
    }
    case 5:
      if (!cursor_.Read(&fixed32)) return false;
      number_ = fixed32;
      return true;
    default:  // groups were never used in this format
      return false;
  }
}

bool ProtobufReader::Next() {
  if (!ok_ || cursor_.left() == 0) return false;
  uint64_t tag;
  ok_ = Varint(&tag) && tag >> 3 != 0 && tag >> 3 <= 0x1FFFFFFF;
  if (!ok_) return false;
  field_ = static_cast<uint32_t>(tag >> 3);
  wire_ = static_cast<uint32_t>(tag & 7);
  ok_ = Value();
  return ok_;
}

float ProtobufReader::float_value() const {
  return std::bit_cast<float>(static_cast<uint32_t>(number_));
}

}  // namespace pelton::tokenizer
