#include "models/weights/safetensors.h"

#include <fmt/format.h>

#include <algorithm>
#include <optional>

#include "base/byte_cursor.h"
#include "base/checked_math.h"
#include "models/weights/field_error.h"
#include "models/weights/json_fields.h"
#include "models/weights/model_folder.h"
#include "models/weights/name_order.h"

namespace pelton {
namespace {

using simdjson::dom::element;

constexpr uint64_t kMaxHeaderBytes = 100'000'000;  // as the reference reader
constexpr size_t kMaxSafetensors = 1u << 20;
constexpr size_t kMaxSafetensorsNameBytes = 1024;
constexpr size_t kMaxIndexBytes = 64u << 20;
constexpr size_t kMaxShards = 4096;
constexpr std::string_view kMetadataName = "__metadata__";
constexpr std::string_view kSafetensorsExtension = ".safetensors";

bool IsTensorName(std::string_view name) {
  return !name.empty() && name.size() <= kMaxSafetensorsNameBytes &&
         std::none_of(name.begin(), name.end(),
                      [](char c) { return static_cast<unsigned char>(c) < 0x20 || c == 0x7f; });
}

// The plain dtypes; names of quantised ones mean nothing in this format.
std::optional<DType> ParsePlainDType(std::string_view name) {
  const auto dtype = ParseDType(name);
  if (!dtype || IsQuantized(*dtype) || DTypeName(*dtype) != name) return std::nullopt;
  return dtype;
}

// Reads one tensor's entry of the header; `data` is what follows the header.
class TensorEntryReader {
 public:
  TensorEntryReader(std::string_view file, std::span<const std::byte> data, TensorInfo* out)
      : file_(file), data_(data), tensor_(*out) {}

  Status Read(element entry) {
    ASSIGN_OR_RETURN(const JsonFields fields, JsonFields::Of(entry, file_, Field()));
    const auto dtype = fields.Find("dtype");
    const auto shape = fields.Find("shape");
    const auto offsets = fields.Find("data_offsets");
    simdjson::dom::object members;
    if (!dtype || !shape || !offsets || entry.get(members) != simdjson::SUCCESS ||
        members.size() != 3) {
      return FieldError(file_, Field(), "other fields", "dtype, shape and data_offsets");
    }
    RETURN_IF_ERROR(ReadDType(*dtype));
    RETURN_IF_ERROR(ReadShape(*shape));
    return ReadOffsets(*offsets);
  }

 private:
  Status ReadDType(element value) {
    std::string_view name;
    if (value.get(name) != simdjson::SUCCESS) {
      return FieldError(file_, Field() + ": dtype", DescribeJson(value), "a string");
    }
    const auto dtype = ParsePlainDType(name);
    if (!dtype) {
      return UnsupportedField(file_, Field() + ": dtype", Quoted(name), "a type that Pelton reads");
    }
    tensor_.dtype = *dtype;
    return OkStatus();
  }

  Status ReadShape(element value) {
    simdjson::dom::array sizes;
    if (value.get(sizes) != simdjson::SUCCESS) {
      return FieldError(file_, Field() + ": shape", DescribeJson(value), "an array");
    }
    size_t rank = 0;
    for (const element item : sizes) {
      if (rank == kMaxTensorRank) {
        return UnsupportedField(file_, Field() + ": shape", "more dimensions",
                                fmt::format("at most {}", kMaxTensorRank));
      }
      if (item.get(tensor_.sizes[rank]) != simdjson::SUCCESS) {
        return FieldError(file_, Field() + ": shape", DescribeJson(item), "a size");
      }
      ++rank;
    }
    tensor_.rank = static_cast<uint8_t>(rank);
    return OkStatus();
  }

  Status ReadOffsets(element value) {
    uint64_t begin = 0;
    uint64_t end = 0;
    simdjson::dom::array pair;
    if (value.get(pair) != simdjson::SUCCESS || pair.size() != 2 ||
        pair.at(0).get(begin) != simdjson::SUCCESS || pair.at(1).get(end) != simdjson::SUCCESS) {
      return FieldError(file_, Field() + ": data_offsets", DescribeJson(value),
                        "an array of two offsets");
    }
    if (begin > end || end > data_.size()) {
      return FieldError(file_, Field() + ": data_offsets", fmt::format("[{}, {}]", begin, end),
                        fmt::format("a range in the {} bytes of tensor data", data_.size()));
    }
    const auto bytes = StatedBytes();
    if (bytes != end - begin) {
      return FieldError(
          file_, Field() + ": data_offsets", fmt::format("{} bytes", end - begin),
          bytes ? fmt::format("{} for shape {} of {}", *bytes, tensor_.ShapeText(),
                              DTypeName(tensor_.dtype))
                : fmt::format("a shape of less than 2^64 bytes, not {}", tensor_.ShapeText()));
    }
    tensor_.data = data_.subspan(static_cast<size_t>(begin), static_cast<size_t>(end - begin));
    return OkStatus();
  }

  std::optional<uint64_t> StatedBytes() const {
    uint64_t elements = 1;
    for (const uint64_t size : tensor_.dims()) {
      const auto product = CheckedMul<uint64_t>(elements, size);
      if (!product) return std::nullopt;
      elements = *product;
    }
    return RowBytes(tensor_.dtype, elements);
  }

  std::string Field() const { return "tensor " + Quoted(tensor_.name); }

  std::string_view file_;
  std::span<const std::byte> data_;
  TensorInfo& tensor_;
};

Status CheckMetadata(element value, std::string_view file) {
  simdjson::dom::object object;
  if (value.get(object) != simdjson::SUCCESS) {
    return FieldError(file, kMetadataName, DescribeJson(value), "an object");
  }
  for (const auto member : object) {
    if (member.value.is_string()) continue;
    return FieldError(file, fmt::format("{}: {}", kMetadataName, Quoted(member.key)),
                      DescribeJson(member.value), "a string");
  }
  return OkStatus();
}

// Sorts the tensors by place; DataLoss unless they cover `data` exactly.
Status CheckCover(std::span<const std::byte> data, std::string_view file,
                  std::vector<TensorInfo>* tensors) {
  const auto end_of = [](const TensorInfo& t) { return t.data.data() + t.data.size(); };
  std::sort(tensors->begin(), tensors->end(), [&](const TensorInfo& a, const TensorInfo& b) {
    return a.data.data() != b.data.data() ? a.data.data() < b.data.data() : end_of(a) < end_of(b);
  });
  const std::byte* covered = data.data();
  for (const TensorInfo& tensor : *tensors) {
    if (tensor.data.data() != covered) {
      return FieldError(file, "tensor " + Quoted(tensor.name) + ": data_offsets",
                        fmt::format("data that begins at {}", tensor.data.data() - data.data()),
                        fmt::format("{}, where the data before it ends", covered - data.data()));
    }
    covered = end_of(tensor);
  }
  if (covered == data.data() + data.size()) return OkStatus();
  return FieldError(file, "tensor data", fmt::format("{} bytes", data.size()),
                    fmt::format("{}, the end of the last tensor", covered - data.data()));
}

// Appends the names of the members (less the metadata) to one buffer and gives each tensor its
// part of it. The parser's own strings die with the parser.
void StoreNames(simdjson::dom::object root, SafetensorsImage* image) {
  size_t bytes = 0;  // at most the header's size
  for (const auto member : root) bytes += member.key.size();
  image->names.reserve(bytes);
  size_t next = 0;
  for (const auto member : root) {
    if (member.key == kMetadataName) continue;
    const size_t begin = image->names.size();
    image->names.insert(image->names.end(), member.key.begin(), member.key.end());
    image->tensors[next++].name = {image->names.data() + begin, member.key.size()};
  }
}

// Tensors and metadata entries; names not checked for repetition yet.
Status ReadHeader(element header, std::span<const std::byte> data, std::string_view file,
                  SafetensorsImage* image) {
  simdjson::dom::object root;
  if (header.get(root) != simdjson::SUCCESS) {
    return FieldError(file, "header", DescribeJson(header), "an object");
  }
  size_t tensors = 0;
  size_t metadata = 0;
  for (const auto member : root) {
    if (member.key == kMetadataName) {
      ++metadata;
      continue;
    }
    ++tensors;
    if (!IsTensorName(member.key)) {
      return FieldError(
          file, "tensor name", Quoted(member.key),
          fmt::format("1 to {} bytes without control characters", kMaxSafetensorsNameBytes));
    }
  }
  if (tensors > kMaxSafetensors || metadata > 1) {
    return FieldError(file, "header",
                      fmt::format("{} tensors and {} metadata entries", tensors, metadata),
                      fmt::format("at most {} and 1", kMaxSafetensors));
  }
  image->tensors.resize(tensors);
  StoreNames(root, image);
  size_t next = 0;
  for (const auto member : root) {
    if (member.key == kMetadataName) {
      RETURN_IF_ERROR(CheckMetadata(member.value, file));
    } else {
      RETURN_IF_ERROR(TensorEntryReader(file, data, &image->tensors[next++]).Read(member.value));
    }
  }
  return OkStatus();
}

}  // namespace

Result<SafetensorsImage> ParseSafetensors(std::span<const std::byte> bytes, std::string_view file) {
  ByteCursor cursor(bytes);
  uint64_t header_bytes = 0;
  if (!cursor.Read(&header_bytes)) {
    return FieldError(file, "size", fmt::format("{} bytes", bytes.size()), "at least 8");
  }
  std::string_view text;
  if (header_bytes > kMaxHeaderBytes || !cursor.ReadText(header_bytes, &text)) {
    return FieldError(
        file, "header size", fmt::format("{} bytes", header_bytes),
        fmt::format("at most {}, and the {} that are left", kMaxHeaderBytes, cursor.left()));
  }
  if (!text.starts_with('{')) {
    return FieldError(file, "header", Quoted(text.substr(0, 1)), "\"{\" as its first byte");
  }
  ASSIGN_OR_RETURN(const JsonDocument document, JsonDocument::Parse(text, file));
  SafetensorsImage image;
  const std::span<const std::byte> data = bytes.subspan(cursor.position());
  RETURN_IF_ERROR(ReadHeader(document.root(), data, file, &image));
  const auto name_of = [&](uint32_t i) { return image.tensors[i].name; };
  if (const auto repeated = FindRepeatedName(OrderByName(image.tensors.size(), name_of), name_of)) {
    return FieldError(file, "tensor name", Quoted(name_of(*repeated)) + " more than once",
                      "every name once");
  }
  RETURN_IF_ERROR(CheckCover(data, file, &image.tensors));
  return image;
}

Result<SafetensorsIndex> ParseSafetensorsIndex(std::string_view text, std::string_view file) {
  ASSIGN_OR_RETURN(const JsonDocument document, JsonDocument::Parse(text, file));
  ASSIGN_OR_RETURN(const JsonFields root, JsonFields::Of(document.root(), file, ""));
  const auto map = root.Find("weight_map");
  simdjson::dom::object members;
  if (!map || map->get(members) != simdjson::SUCCESS) {
    return FieldError(file, "weight_map", map ? DescribeJson(*map) : "nothing", "an object");
  }
  SafetensorsIndex index;
  std::vector<std::string_view> shard_of;
  for (const auto member : members) {
    std::string_view shard;
    const std::string field = "weight_map: " + Quoted(member.key);
    if (!IsTensorName(member.key) || member.value.get(shard) != simdjson::SUCCESS) {
      return FieldError(file, field, DescribeJson(member.value), "a tensor's file name");
    }
    if (!IsPlainFileName(shard) || !shard.ends_with(kSafetensorsExtension)) {
      return FieldError(file, field, Quoted(shard),
                        "the name of a .safetensors file in the same folder");
    }
    shard_of.push_back(shard);
    index.entries.push_back({std::string(member.key), 0});
  }
  std::vector<std::string_view> shards = shard_of;
  std::sort(shards.begin(), shards.end());
  shards.erase(std::unique(shards.begin(), shards.end()), shards.end());
  if (shards.empty() || shards.size() > kMaxShards) {
    return FieldError(file, "weight_map", fmt::format("{} files", shards.size()),
                      fmt::format("1 to {}", kMaxShards));
  }
  index.shard_tensors.resize(shards.size());
  for (size_t i = 0; i < shard_of.size(); ++i) {
    const auto place = std::lower_bound(shards.begin(), shards.end(), shard_of[i]);
    index.entries[i].shard = static_cast<uint32_t>(place - shards.begin());
    ++index.shard_tensors[index.entries[i].shard];
  }
  std::sort(index.entries.begin(), index.entries.end(),
            [](const auto& a, const auto& b) { return a.tensor < b.tensor; });
  for (size_t i = 1; i < index.entries.size(); ++i) {
    if (index.entries[i - 1].tensor != index.entries[i].tensor) continue;
    return FieldError(file, "weight_map", Quoted(index.entries[i].tensor) + " more than once",
                      "every name once");
  }
  index.shards.assign(shards.begin(), shards.end());
  return index;
}

namespace {

// Maps one file and adds its tensors.
Status AddFile(const std::string& path, WeightSource::Parts* parts) {
  ASSIGN_OR_RETURN(MappedFile file, MappedFile::Open(path));
  ASSIGN_OR_RETURN(SafetensorsImage image, ParseSafetensors(file.bytes(), path));
  parts->files.push_back(std::move(file));
  parts->name_storage.push_back(std::move(image.names));
  parts->tensors.insert(parts->tensors.end(), image.tensors.begin(), image.tensors.end());
  return OkStatus();
}

// Every tensor of `shard` (they are parts->tensors from `first` on) is where the index says.
Status CheckAgainstIndex(const SafetensorsIndex& index, size_t shard, size_t first,
                         const WeightSource::Parts& parts) {
  const std::string& path = parts.files.back().path();
  for (size_t i = first; i < parts.tensors.size(); ++i) {
    const std::string_view name = parts.tensors[i].name;
    const auto entry =
        std::lower_bound(index.entries.begin(), index.entries.end(), name,
                         [](const auto& e, std::string_view wanted) { return e.tensor < wanted; });
    if (entry == index.entries.end() || entry->tensor != name || entry->shard != shard) {
      return FieldError(path, "tensor name", Quoted(name),
                        "only tensors that the weight_map of the index puts into this file");
    }
  }
  const size_t expected = index.shard_tensors[shard];
  const size_t found = parts.tensors.size() - first;
  if (found == expected) return OkStatus();
  return FieldError(path, "tensor count", fmt::format("{}", found),
                    fmt::format("{}, as the weight_map of the index says", expected));
}

}  // namespace

Result<WeightSource> OpenSafetensors(const std::string& folder) {
  WeightSource::Parts parts{
      .format = WeightFormat::kSafetensors, .files = {}, .name_storage = {}, .tensors = {}};
  ASSIGN_OR_RETURN(const auto single, FindModelFile(folder, "model.safetensors"));
  if (single) {
    RETURN_IF_ERROR(AddFile(*single, &parts));
    return WeightSource::Create(std::move(parts));
  }
  ASSIGN_OR_RETURN(const auto index_path, FindModelFile(folder, "model.safetensors.index.json"));
  if (!index_path) {
    return NotFound(folder +
                    ": found neither model.safetensors nor model.safetensors.index.json in it");
  }
  ASSIGN_OR_RETURN(const std::string text, ReadTextFile(*index_path, kMaxIndexBytes));
  ASSIGN_OR_RETURN(const SafetensorsIndex index, ParseSafetensorsIndex(text, *index_path));
  for (size_t shard = 0; shard < index.shards.size(); ++shard) {
    ASSIGN_OR_RETURN(const auto path, FindModelFile(folder, index.shards[shard]));
    if (!path) {
      return NotFound(fmt::format("{}: no file {}, which weight_map names", *index_path,
                                  Quoted(index.shards[shard])));
    }
    const size_t first = parts.tensors.size();
    RETURN_IF_ERROR(AddFile(*path, &parts));
    RETURN_IF_ERROR(CheckAgainstIndex(index, shard, first, parts));
  }
  return WeightSource::Create(std::move(parts));
}

}  // namespace pelton
