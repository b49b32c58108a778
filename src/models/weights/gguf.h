#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "base/status.h"
#include "models/weights/gguf_metadata.h"
#include "models/weights/weight_source.h"

namespace pelton {

inline constexpr std::string_view kGgufExtension = ".gguf";

// What one GGUF file says. Borrows the file's bytes.
struct GgufImage {
  uint32_t version = 0;  // 2 or 3
  uint64_t alignment = 0;
  GgufMetadata metadata;
  std::vector<TensorInfo> tensors;  // in file order
};

// Reads the directory of a little-endian GGUF file of version 2 or 3 and checks all of it: no
// count, length, size or offset is used before it is known to fit the bytes that are there, and
// every tensor lies inside the file and over no other. DataLoss for a file that breaks the format,
// Unimplemented for other versions, big-endian files and tensor types that Pelton does not read.
// `file` names the file in messages. O(directory), allocates at most 16 bytes per byte of it; the
// tensors' data is not touched. Source: the GGUF specification in ggml's documentation.
Result<GgufImage> ParseGguf(std::span<const std::byte> bytes, std::string_view file);

// An opened model: the metadata of the first file, the tensors of all.
struct GgufModel {
  std::string file;  // the path of the first file, for messages
  GgufMetadata metadata;
  WeightSource weights;
};

// Maps and parses the file at `path`; for any part of a split model
// ("name-00002-of-00003.gguf") all its parts, which must agree on their number, their order and
// the total of tensors. Errors of ParseGguf and MappedFile::Open; NotFound names a missing part.
Result<GgufModel> OpenGguf(const std::string& path);

}  // namespace pelton
