// Any bytes as a safetensors file and as the text of an index. An accepted file's tensors must
// cover its data exactly; an accepted index names only plain files.

#include <cstdint>
#include <span>
#include <string_view>

#include "models/weights/model_folder.h"
#include "models/weights/safetensors.h"

namespace {

void CheckImage(std::span<const std::byte> bytes) {
  const auto image = pelton::ParseSafetensors(bytes, "fuzz.safetensors");
  if (!image.ok()) return;
  size_t covered = 0;
  const std::byte* end = bytes.data() + bytes.size();
  for (const pelton::TensorInfo& tensor : image->tensors) {
    covered += tensor.data.size();
    if (pelton::RowBytes(tensor.dtype, tensor.NumElements()) != tensor.data.size()) {
      __builtin_trap();
    }
    if (tensor.name.empty()) __builtin_trap();
  }
  if (!image->tensors.empty() &&
      (image->tensors.front().data.data() + covered != end || covered > bytes.size())) {
    __builtin_trap();
  }
  (void)pelton::WeightSource::Create({.format = pelton::WeightFormat::kSafetensors,
                                      .files = {},
                                      .name_storage = {},
                                      .tensors = image->tensors});
}

void CheckIndex(std::string_view text) {
  const auto index = pelton::ParseSafetensorsIndex(text, "fuzz.index.json");
  if (!index.ok()) return;
  for (const std::string& shard : index->shards) {
    if (!pelton::IsPlainFileName(shard)) __builtin_trap();
  }
  for (const auto& entry : index->entries) {
    if (entry.shard >= index->shards.size()) __builtin_trap();
  }
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  CheckImage(std::as_bytes(std::span(data, size)));
  CheckIndex({reinterpret_cast<const char*>(data), size});
  return 0;
}
