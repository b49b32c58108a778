#include "models/weights/gguf.h"

#include <fmt/format.h>

#include <algorithm>
#include <bit>
#include <iterator>
#include <optional>

#include "base/byte_cursor.h"
#include "base/checked_math.h"
#include "models/weights/field_error.h"

namespace pelton {
namespace {

constexpr std::string_view kMagic = "GGUF";
constexpr uint64_t kDefaultAlignment = 32;
constexpr uint64_t kMinAlignment = 8;
constexpr uint64_t kMaxAlignment = 1u << 20;
constexpr uint32_t kMaxRank = 4;
constexpr uint64_t kMaxGgufTensors = 1u << 20;

// The smallest tensor entry: name length, one byte of name, rank 0, type, offset.
constexpr size_t kMinTensorBytes = 8 + 1 + 4 + 4 + 8;

// A tensor type as files number it. Types without a DType have a name only.
struct StoredType {
  uint32_t number;
  std::string_view name;
  std::optional<DType> dtype;
};

constexpr StoredType kStoredTypes[] = {
    {0, "F32", DType::kF32},
    {1, "F16", DType::kF16},
    {2, "Q4_0", DType::kQ4_0},
    {3, "Q4_1", DType::kQ4_1},
    {4, "Q4_2", {}},
    {5, "Q4_3", {}},
    {6, "Q5_0", DType::kQ5_0},
    {7, "Q5_1", DType::kQ5_1},
    {8, "Q8_0", DType::kQ8_0},
    {9, "Q8_1", {}},
    {10, "Q2_K", DType::kQ2_K},
    {11, "Q3_K", DType::kQ3_K},
    {12, "Q4_K", DType::kQ4_K},
    {13, "Q5_K", DType::kQ5_K},
    {14, "Q6_K", DType::kQ6_K},
    {15, "Q8_K", {}},
    {16, "IQ2_XXS", {}},
    {17, "IQ2_XS", {}},
    {18, "IQ3_XXS", {}},
    {19, "IQ1_S", {}},
    {20, "IQ4_NL", DType::kIQ4_NL},
    {21, "IQ3_S", {}},
    {22, "IQ2_S", {}},
    {23, "IQ4_XS", DType::kIQ4_XS},
    {24, "I8", DType::kI8},
    {25, "I16", DType::kI16},
    {26, "I32", DType::kI32},
    {27, "I64", DType::kI64},
    {28, "F64", DType::kF64},
    {29, "IQ1_M", {}},
    {30, "BF16", DType::kBF16},
    {31, "Q4_0_4_4", {}},
    {32, "Q4_0_4_8", {}},
    {33, "Q4_0_8_8", {}},
    {34, "TQ1_0", {}},
    {35, "TQ2_0", {}},
    {36, "IQ4_NL_4_4", {}},
    {37, "IQ4_NL_4_8", {}},
    {38, "IQ4_NL_8_8", {}},
    {39, "MXFP4", DType::kMXFP4},
    {40, "NVFP4", {}},
};

constexpr bool TableFollowsNumbers() {
  for (size_t i = 0; i < std::size(kStoredTypes); ++i) {
    if (kStoredTypes[i].number != i) return false;
  }
  return true;
}
static_assert(TableFollowsNumbers(), "rows are indexed by the number");

class GgufParser {
 public:
  GgufParser(std::span<const std::byte> bytes, std::string_view file)
      : bytes_(bytes), cursor_(bytes), file_(file) {}

  Result<GgufImage> Parse() {
    RETURN_IF_ERROR(ReadMagicAndVersion());
    uint64_t tensor_count = 0;
    uint64_t metadata_count = 0;
    if (!cursor_.Read(&tensor_count) || !cursor_.Read(&metadata_count)) {
      return FieldError(file_, "header", "the end of the file", "counts of tensors and metadata");
    }
    RETURN_IF_ERROR(CheckTensorCount(tensor_count));
    ASSIGN_OR_RETURN(image_.metadata, GgufMetadata::Read(&cursor_, metadata_count, file_));
    RETURN_IF_ERROR(ReadAlignment());
    RETURN_IF_ERROR(CheckTensorCount(tensor_count));  // the metadata took its share of the bytes
    RETURN_IF_ERROR(ReadTensors(tensor_count));
    return std::move(image_);
  }

 private:
  Status ReadMagicAndVersion() {
    std::string_view magic;
    if (!cursor_.ReadText(kMagic.size(), &magic) || magic != kMagic) {
      return FieldError(file_, "magic",
                        Quoted({reinterpret_cast<const char*>(bytes_.data()),
                                std::min(bytes_.size(), kMagic.size())}),
                        "\"GGUF\"");
    }
    if (!cursor_.Read(&image_.version)) {
      return FieldError(file_, "version", "the end of the file", "2 or 3");
    }
    if (image_.version == 2 || image_.version == 3) return OkStatus();
    const bool swapped = (image_.version & 0xffff) == 0 && image_.version != 0;
    return UnsupportedField(
        file_, "version",
        swapped ? std::string("a big-endian file") : fmt::format("{}", image_.version),
        swapped ? "a little-endian file" : "2 or 3");
  }

  Status CheckTensorCount(uint64_t count) const {
    if (count <= kMaxGgufTensors && cursor_.CanHold(count, kMinTensorBytes)) return OkStatus();
    return FieldError(
        file_, "tensor count", fmt::format("{}", count),
        fmt::format("at most {} in the {} bytes left",
                    std::min<uint64_t>(kMaxGgufTensors, cursor_.left() / kMinTensorBytes),
                    cursor_.left()));
  }

  Status ReadAlignment() {
    image_.alignment = kDefaultAlignment;
    const GgufValue* value = image_.metadata.Find("general.alignment");
    if (value == nullptr) return OkStatus();
    image_.alignment = value->is_array() ? 0 : value->Unsigned().value_or(0);
    if (!std::has_single_bit(image_.alignment) || image_.alignment < kMinAlignment ||
        image_.alignment > kMaxAlignment) {
      return FieldError(file_, "metadata key \"general.alignment\"", value->Text(),
                        fmt::format("a power of two from {} to {}", kMinAlignment, kMaxAlignment));
    }
    return OkStatus();
  }

  Status ReadTensors(uint64_t count) {
    image_.tensors.resize(static_cast<size_t>(count));
    std::vector<uint64_t> offsets(image_.tensors.size());
    for (size_t i = 0; i < offsets.size(); ++i) {
      RETURN_IF_ERROR(ReadTensor(&image_.tensors[i], &offsets[i]));
    }
    const auto data_start = CheckedAlignUp<uint64_t>(cursor_.position(), image_.alignment);
    const bool has_data = data_start && *data_start < bytes_.size();
    const std::span<const std::byte> data =
        has_data ? bytes_.subspan(static_cast<size_t>(*data_start)) : bytes_.subspan(0, 0);
    for (size_t i = 0; i < offsets.size(); ++i) {
      RETURN_IF_ERROR(PlaceTensor(data, offsets[i], &image_.tensors[i]));
    }
    return CheckOverlaps();
  }

  // Everything but the place of the data, which is known only after the last entry.
  Status ReadTensor(TensorInfo* tensor, uint64_t* offset) {
    ASSIGN_OR_RETURN(tensor->name, ReadGgufName(&cursor_, file_, "tensor name"));
    uint32_t rank = 0;
    if (!cursor_.Read(&rank)) return Ends(*tensor);
    if (rank > kMaxRank) {
      return FieldError(file_, Field(*tensor), fmt::format("{} dimensions", rank),
                        fmt::format("at most {}", kMaxRank));
    }
    tensor->rank = static_cast<uint8_t>(rank);
    for (size_t i = 0; i < rank; ++i) {
      uint64_t& size = tensor->sizes[rank - 1 - i];  // the file states the fastest first
      if (!cursor_.Read(&size)) return Ends(*tensor);
      if (size == 0) return FieldError(file_, Field(*tensor), "a dimension of 0", "at least 1");
    }
    uint32_t type = 0;
    if (!cursor_.Read(&type) || !cursor_.Read(offset)) return Ends(*tensor);
    return ReadType(type, tensor);
  }

  Status ReadType(uint32_t type, TensorInfo* tensor) const {
    if (type >= std::size(kStoredTypes)) {
      return FieldError(file_, Field(*tensor), fmt::format("tensor type {}", type),
                        fmt::format("a type below {}", std::size(kStoredTypes)));
    }
    const StoredType& stored = kStoredTypes[type];
    if (!stored.dtype) {
      return UnsupportedField(file_, Field(*tensor), fmt::format("tensor type {}", stored.name),
                              "a type that Pelton reads");
    }
    tensor->dtype = *stored.dtype;
    return OkStatus();
  }

  Status PlaceTensor(std::span<const std::byte> data, uint64_t offset, TensorInfo* tensor) const {
    std::optional<uint64_t> elements = 1;
    for (const uint64_t size : tensor->dims()) {
      elements = CheckedMul<uint64_t>(*elements, size);
      if (!elements) break;
    }
    const uint64_t row = tensor->rank == 0 ? 1 : tensor->dims().back();
    if (row % BlockElements(tensor->dtype) != 0) {
      return FieldError(file_, Field(*tensor), fmt::format("rows of {} values", row),
                        fmt::format("a multiple of {}, the block size of {}",
                                    BlockElements(tensor->dtype), DTypeName(tensor->dtype)));
    }
    const auto size = elements ? RowBytes(tensor->dtype, *elements) : std::nullopt;
    if (!size) {
      return FieldError(file_, Field(*tensor), "shape " + tensor->ShapeText(),
                        "a size below 2^64 bytes");
    }
    if (offset % image_.alignment != 0) {
      return FieldError(file_, Field(*tensor), fmt::format("offset {}", offset),
                        fmt::format("a multiple of the alignment {}", image_.alignment));
    }
    if (offset > data.size() || *size > data.size() - offset) {
      return FieldError(file_, Field(*tensor), fmt::format("{} bytes at offset {}", *size, offset),
                        fmt::format("a place in the {} bytes of tensor data", data.size()));
    }
    tensor->data = data.subspan(static_cast<size_t>(offset), static_cast<size_t>(*size));
    return OkStatus();
  }

  Status CheckOverlaps() const {
    std::vector<const TensorInfo*> by_place;
    by_place.reserve(image_.tensors.size());
    for (const TensorInfo& tensor : image_.tensors) by_place.push_back(&tensor);
    std::sort(by_place.begin(), by_place.end(), [](const TensorInfo* a, const TensorInfo* b) {
      return a->data.data() < b->data.data();
    });
    for (size_t i = 1; i < by_place.size(); ++i) {
      const TensorInfo& before = *by_place[i - 1];
      if (before.data.data() + before.data.size() > by_place[i]->data.data()) {
        return FieldError(file_, Field(*by_place[i]), "data shared with " + Quoted(before.name),
                          "data of its own");
      }
    }
    return OkStatus();
  }

  static std::string Field(const TensorInfo& tensor) { return "tensor " + Quoted(tensor.name); }

  Status Ends(const TensorInfo& tensor) const {
    return FieldError(file_, Field(tensor), "the end of the file",
                      "dimensions, a type and an offset");
  }

  std::span<const std::byte> bytes_;
  ByteCursor cursor_;
  std::string_view file_;
  GgufImage image_;
};

}  // namespace

Result<GgufImage> ParseGguf(std::span<const std::byte> bytes, std::string_view file) {
  ASSIGN_OR_RETURN(GgufImage image, GgufParser(bytes, file).Parse());
  return image;
}

}  // namespace pelton
