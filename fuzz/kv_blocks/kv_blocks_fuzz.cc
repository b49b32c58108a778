#include <algorithm>
#include <cstring>
#include <string>
#include <vector>

#include "base/crc32c.h"
#include "runtime/kv/block_file.h"

// Any bytes as a file of KV blocks. The first byte says which checksums are made right before it is
// read, without which few inputs would come far: bit 0 the header's, bit 1 the blocks'. An accepted
// file has exactly the size of its blocks; a block that is given is the file's own at its place,
// under a right checksum; nothing outside the file is read; a refusal is short.

namespace pelton {
namespace {

void Check(bool condition) {
  if (!condition) __builtin_trap();
}

const BlockFileScope kScope{.fingerprint = {},
                            .geometry = {.data = nullptr,
                                         .dtype = KvDType::kF16,
                                         .num_blocks = 0,
                                         .layers = 1,
                                         .kv_heads = 1,
                                         .head_dim = 1,
                                         .block_tokens = 2}};

uint32_t CrcOf(std::span<const std::byte> first, std::span<const std::byte> second) {
  Crc32c crc;
  crc.Add(first);
  crc.Add(second);
  return crc.value();
}

void Seal(std::span<std::byte> file, bool header, bool blocks) {
  if (file.size() < kBlockFileHeaderBytes) return;
  if (header) {
    const uint32_t crc = CrcOf(file.subspan(16, kBlockFileHeaderBytes - 16), {});
    std::memcpy(file.data() + 12, &crc, sizeof(crc));
  }
  const size_t record = kScope.RecordBytes();
  for (size_t at = kBlockFileHeaderBytes; blocks && file.size() - at >= record; at += record) {
    const uint32_t crc = CrcOf(file.subspan(16, 16), file.subspan(at + 4, record - 4));
    std::memcpy(file.data() + at, &crc, sizeof(crc));
  }
}

void RunOne(std::span<const std::byte> input) {
  if (input.empty()) return;
  const auto how = static_cast<unsigned>(input[0]);
  std::vector<std::byte> file(input.begin() + 1, input.end());
  Seal(file, (how & 1) != 0, (how & 2) != 0);
  Result<BlockFileReader> reader =
      BlockFileReader::Open(kScope, file.size(), [&](uint64_t offset, std::span<std::byte> out) {
        Check(offset <= file.size() && out.size() <= file.size() - offset);
        std::copy_n(file.data() + offset, out.size(), out.data());
        return true;
      });
  if (!reader.ok()) {
    Check(reader.status().code() == StatusCode::kDataLoss &&
          reader.status().message().size() < 200);
    return;
  }
  const size_t record = kScope.RecordBytes();
  Check(file.size() == kBlockFileHeaderBytes + reader->num_blocks() * record);
  for (size_t i = 0; i < reader->num_blocks(); ++i) {
    const std::span<const std::byte> bytes =
        std::span(file).subspan(kBlockFileHeaderBytes + i * record, record);
    uint32_t head[2];
    std::memcpy(head, bytes.data(), sizeof(head));
    const bool sound =
        head[0] == CrcOf(std::span(file).subspan(16, 16), bytes.subspan(4)) && head[1] == i;
    const Result<BlockFileReader::Block> block = reader->Read(i);
    Check(block.ok() == sound);
    if (!sound) continue;
    Check(block.value().tokens.size() == kScope.geometry.block_tokens);
    Check(block.value().data.size() == kScope.geometry.BlockBytes());
    Check(std::equal(block.value().data.begin(), block.value().data.end(),
                     bytes.end() - static_cast<long>(kScope.geometry.BlockBytes())));
  }
}

}  // namespace
}  // namespace pelton

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  pelton::RunOne(std::as_bytes(std::span(data, size)));
  return 0;
}
