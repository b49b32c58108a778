#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "base/dtype.h"
#include "base/mapped_file.h"
#include "base/status.h"

namespace pelton {

inline constexpr size_t kMaxTensorRank = 6;

// One tensor of a model file, in place.
struct TensorInfo {
  std::string_view name;
  DType dtype = DType::kF32;
  uint8_t rank = 0;  // 0: a scalar
  // Row-major, slowest first: a matrix is [N, K] and holds N rows of K consecutive values. Only
  // the first `rank` entries mean something. (GGUF states sizes fastest first; they are turned.)
  std::array<uint64_t, kMaxTensorRank> sizes = {};
  // Exactly the tensor's bytes: RowBytes(dtype, NumElements()). Aligned to 8 bytes in GGUF files;
  // to nothing in safetensors files.
  std::span<const std::byte> data;

  std::span<const uint64_t> dims() const { return {sizes.data(), rank}; }

  // The product of dims(), 1 for a scalar. It fits: readers have checked it.
  uint64_t NumElements() const;

  // "[320, 256]".
  std::string ShapeText() const;
};

enum class WeightFormat : uint8_t { kGguf, kSafetensors };

// The tensors of a model, whatever files hold them, with their mappings. Names follow the format
// ("blk.0.attn_q.weight" in GGUF, "model.layers.0.self_attn.q_proj.weight" in safetensors).
// Movable; a move keeps every TensorInfo, name and data where it is. Thread-safe to read.
class WeightSource {
 public:
  // `files` keep the data of `tensors` mapped; `name_storage` keeps names that are not part of a
  // mapping. DataLoss if two tensors have one name.
  struct Parts {
    WeightFormat format;
    std::vector<MappedFile> files;
    std::vector<std::vector<char>> name_storage;
    std::vector<TensorInfo> tensors;
  };
  static Result<WeightSource> Create(Parts parts);

  WeightFormat format() const { return parts_.format; }

  // In file order.
  std::span<const TensorInfo> tensors() const { return parts_.tensors; }

  // nullptr: no such tensor. O(log n).
  const TensorInfo* Find(std::string_view name) const;

  // Path of the file that holds the tensor; "model" for one that is only in memory.
  const std::string& FileOf(const TensorInfo& tensor) const;

  // These bytes of a tensor will not be read again soon (they were packed): their pages may leave
  // memory. Bytes that lie in no file of the model are left alone.
  void Forget(std::span<const std::byte> bytes) const;

  // Sum of all tensors' data.
  uint64_t TotalBytes() const;

 private:
  explicit WeightSource(Parts parts) : parts_(std::move(parts)) {}
  const MappedFile* HolderOf(std::span<const std::byte> bytes) const;

  Parts parts_;
  std::vector<uint32_t> by_name_;  // indices of tensors, sorted by name
};

}  // namespace pelton
