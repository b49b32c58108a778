#include <cstring>
#include <vector>

#include "base/crc32c.h"
#include "graph/execute/packed_file.h"

// How many bytes of data follow what is given, and whether the checksum is made right before it is
// read, without which few inputs would come far; then any bytes as the beginning of a file of
// packed weights. Accepted pieces ascend and lie within the data; what is accepted is written as it
// was read, but for bytes behind the table; a refusal is short.

namespace pelton {
namespace {

void Check(bool condition) {
  if (!condition) __builtin_trap();
}

void Seal(std::span<std::byte> file) {
  if (file.size() < kPackedHeaderBytes) return;
  uint64_t pieces;
  std::memcpy(&pieces, file.data() + 64, sizeof(pieces));
  if (pieces > (file.size() - kPackedHeaderBytes) / 16) return;
  Crc32c crc;
  crc.Add(file.first(kPackedHeaderBytes + static_cast<size_t>(pieces) * 16).subspan(16));
  const uint32_t value = crc.value();
  std::memcpy(file.data() + 12, &value, sizeof(value));
}

void RunOne(std::span<const std::byte> input) {
  uint32_t how;
  if (input.size() < sizeof(how)) return;
  std::memcpy(&how, input.data(), sizeof(how));
  std::vector<std::byte> file(input.begin() + sizeof(how), input.end());
  if ((how & 1) != 0) Seal(file);
  const uint64_t size = file.size() + (how >> 1);
  const Result<PackedTable> table = ReadPackedTable(file, size);
  if (!table.ok()) {
    Check(table.status().code() == StatusCode::kDataLoss && table.status().message().size() < 200);
    return;
  }
  Check(table->DataBegin() <= size && table->data_bytes == size - table->DataBegin());
  uint64_t end = 0;
  for (const PackedPiece& piece : table->pieces) {
    Check(piece.offset >= end && piece.offset <= table->data_bytes);
    Check(piece.bytes <= table->data_bytes - piece.offset);
    end = piece.offset + piece.bytes;
  }
  const std::vector<std::byte> again = WritePackedTable(*table);
  const size_t used = kPackedHeaderBytes + table->pieces.size() * 16;
  Check(again.size() == table->DataBegin() && used <= file.size());
  Check(std::memcmp(again.data(), file.data(), used) == 0);
}

}  // namespace
}  // namespace pelton

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  pelton::RunOne(std::as_bytes(std::span(data, size)));
  return 0;
}
