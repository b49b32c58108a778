// Any bytes as a GGUF file: parsed, walked, read as a configuration. Besides the sanitizers' rules,
// what the parser and its results hold in memory at any time is at most 16 times the file.

#include <sanitizer/allocator_interface.h>

#include <atomic>
#include <cstdint>
#include <span>

#include "models/weights/gguf.h"
#include "models/weights/model_config.h"

namespace {

std::atomic<int64_t> live_bytes{0};
std::atomic<int64_t> peak_bytes{0};

void OnAllocate(const volatile void*, size_t size) {
  const int64_t live = live_bytes += static_cast<int64_t>(size);
  if (live > peak_bytes) peak_bytes = live;
}

void OnFree(const volatile void* pointer) {
  if (pointer == nullptr) return;
  live_bytes -=
      static_cast<int64_t>(__sanitizer_get_allocated_size(const_cast<const void*>(pointer)));
}

// Messages and the configuration's own strings.
constexpr int64_t kFixedBytes = 16 << 10;
constexpr int64_t kBytesPerFileByte = 16;

void Walk(const pelton::GgufImage& image) {
  size_t sum = 0;
  for (const auto& [key, value] : image.metadata.entries()) {
    sum += value.Text().size();
    if (image.metadata.Find(key) != &value) __builtin_trap();
    for (size_t i = 0; i < value.size() && i < 8; ++i) {
      sum += value.Unsigned(i).has_value() + value.Number(i).has_value() +
             value.Bool(i).has_value() + value.String(i).value_or("").size();
    }
    if (value.Number(value.size()) || value.String(value.size())) __builtin_trap();
  }
  for (const pelton::TensorInfo& tensor : image.tensors) {
    // The ends lie inside the input, or a sanitizer says so.
    sum += std::to_integer<size_t>(tensor.data.front() ^ tensor.data.back());
    if (pelton::RowBytes(tensor.dtype, tensor.NumElements()) != tensor.data.size()) {
      __builtin_trap();
    }
  }
  const volatile size_t kept = sum;
  (void)kept;
}

void ParseAndUse(std::span<const std::byte> bytes) {
  auto image = pelton::ParseGguf(bytes, "fuzz.gguf");
  if (!image.ok()) return;
  Walk(*image);
  auto weights = pelton::WeightSource::Create({.format = pelton::WeightFormat::kGguf,
                                               .files = {},
                                               .name_storage = {},
                                               .tensors = std::move(image->tensors)});
  if (!weights.ok()) return;
  (void)pelton::ConfigFromGguf(image->metadata, *weights, "fuzz.gguf");
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  static const bool hooked = __sanitizer_install_malloc_and_free_hooks(OnAllocate, OnFree) != 0;
  if (!hooked) __builtin_trap();
  const int64_t before = live_bytes;
  peak_bytes = before;
  ParseAndUse(std::as_bytes(std::span(data, size)));
  const int64_t limit = kBytesPerFileByte * static_cast<int64_t>(size) + kFixedBytes;
  if (peak_bytes - before > limit) __builtin_trap();
  return 0;
}
