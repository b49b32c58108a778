#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "base/status.h"
#include "models/weights/weight_source.h"

namespace pelton {

// What one safetensors file says. Tensors borrow the file's bytes and `names`.
struct SafetensorsImage {
  std::vector<char> names;          // the tensors' names, one after another
  std::vector<TensorInfo> tensors;  // in the order of their data
};

// Reads the header of a safetensors file and checks all of it: it is at most 100 MB, a JSON object
// without repeated or unknown fields, and the tensors' data covers the rest of the file without
// gap, overlap or remainder. DataLoss for a file that breaks the format, Unimplemented for dtypes
// and ranks that Pelton does not read. `file` names the file in messages. O(header); the tensors'
// data is not touched. Source: the format description in the safetensors repository.
Result<SafetensorsImage> ParseSafetensors(std::span<const std::byte> bytes, std::string_view file);

// Which file of a folder holds each tensor, from the text of a model.safetensors.index.json.
struct SafetensorsIndex {
  struct Entry {
    std::string tensor;
    uint32_t shard;  // index into shards
  };
  std::vector<std::string> shards;      // plain file names, sorted, each once
  std::vector<uint32_t> shard_tensors;  // how many entries each shard has
  std::vector<Entry> entries;           // sorted by tensor, each once
};

// DataLoss if a shard is not the plain name of a safetensors file: a name with a separator, "..",
// a control character or another extension could lead out of the folder.
Result<SafetensorsIndex> ParseSafetensorsIndex(std::string_view text, std::string_view file);

// Maps the weights of a folder: model.safetensors, else the shards that
// model.safetensors.index.json names; each must hold exactly the tensors that the index says.
// NotFound if the folder has neither or lacks a shard.
Result<WeightSource> OpenSafetensors(const std::string& folder);

}  // namespace pelton
