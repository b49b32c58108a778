#include <fmt/format.h>

#include <optional>
#include <utility>

#include "models/weights/field_error.h"
#include "models/weights/gguf.h"

namespace pelton {
namespace {

constexpr size_t kDigits = 5;

// A path of the form PREFIX-00002-of-00003.gguf.
struct SplitName {
  std::string prefix;
  uint32_t part = 0;  // from 1
  uint32_t count = 0;

  std::string Path(uint32_t which) const {
    return fmt::format("{}-{:05}-of-{:05}{}", prefix, which, count, kGgufExtension);
  }
};

// Takes exactly five digits off the end of `text`.
std::optional<uint32_t> TakeNumber(std::string_view* text) {
  if (text->size() < kDigits) return std::nullopt;
  const std::string_view digits = text->substr(text->size() - kDigits);
  uint32_t value = 0;
  for (const char c : digits) {
    if (c < '0' || c > '9') return std::nullopt;
    value = value * 10 + static_cast<uint32_t>(c - '0');
  }
  text->remove_suffix(kDigits);
  return value;
}

bool TakeSuffix(std::string_view suffix, std::string_view* text) {
  if (!text->ends_with(suffix)) return false;
  text->remove_suffix(suffix.size());
  return true;
}

std::optional<SplitName> ParseSplitName(std::string_view path) {
  if (!TakeSuffix(kGgufExtension, &path)) return std::nullopt;
  const auto count = TakeNumber(&path);
  if (!count || !TakeSuffix("-of-", &path)) return std::nullopt;
  const auto part = TakeNumber(&path);
  if (!part || !TakeSuffix("-", &path)) return std::nullopt;
  if (*part < 1 || *part > *count) return std::nullopt;
  return SplitName{std::string(path), *part, *count};
}

struct Part {
  MappedFile file;
  GgufImage image;
};

Result<Part> OpenPart(const std::string& path) {
  ASSIGN_OR_RETURN(MappedFile file, MappedFile::Open(path));
  ASSIGN_OR_RETURN(GgufImage image, ParseGguf(file.bytes(), path));
  return Part{std::move(file), std::move(image)};
}

// What a file says about its split: 1 part if it says nothing.
uint64_t StatedParts(const GgufImage& image) {
  const GgufValue* value = image.metadata.Find("split.count");
  if (value == nullptr) return 1;
  return value->Unsigned().value_or(0);
}

Status CheckNumber(const Part& part, std::string_view key, uint64_t expected) {
  const GgufValue* value = part.image.metadata.Find(key);
  const auto number = value == nullptr ? std::nullopt : value->Unsigned();
  if (number == expected) return OkStatus();
  return FieldError(part.file.path(), fmt::format("metadata key \"{}\"", key),
                    value == nullptr ? "nothing" : value->Text(), fmt::format("{}", expected));
}

Status CheckParts(const std::vector<Part>& parts) {
  uint64_t tensors = 0;  // at most 2^20 per part
  for (const Part& part : parts) tensors += part.image.tensors.size();
  for (size_t i = 0; i < parts.size(); ++i) {
    RETURN_IF_ERROR(CheckNumber(parts[i], "split.count", parts.size()));
    RETURN_IF_ERROR(CheckNumber(parts[i], "split.no", i));
    RETURN_IF_ERROR(CheckNumber(parts[i], "split.tensors.count", tensors));
  }
  return OkStatus();
}

Result<GgufModel> Join(std::vector<Part> parts) {
  WeightSource::Parts joined{.format = WeightFormat::kGguf,
                             .files = {},
                             .name_storage = {},
                             .tensors = std::move(parts[0].image.tensors)};
  std::string file = parts[0].file.path();
  GgufMetadata metadata = std::move(parts[0].image.metadata);
  joined.files.reserve(parts.size());
  for (Part& part : parts) {
    joined.files.push_back(std::move(part.file));
    if (&part == &parts[0]) continue;
    joined.tensors.insert(joined.tensors.end(), part.image.tensors.begin(),
                          part.image.tensors.end());
  }
  ASSIGN_OR_RETURN(WeightSource weights, WeightSource::Create(std::move(joined)));
  return GgufModel{std::move(file), std::move(metadata), std::move(weights)};
}

}  // namespace

Result<GgufModel> OpenGguf(const std::string& path) {
  const std::optional<SplitName> name = ParseSplitName(path);
  std::vector<Part> parts;
  if (!name || name->count == 1) {
    ASSIGN_OR_RETURN(Part part, OpenPart(path));
    if (const uint64_t stated = StatedParts(part.image); stated != 1) {
      return FieldError(path, "file name", Quoted(path),
                        fmt::format("one that ends in -0000N-of-{:05}.gguf, because the file is "
                                    "one part of {}",
                                    stated, stated));
    }
    parts.push_back(std::move(part));
    return Join(std::move(parts));
  }
  for (uint32_t i = 1; i <= name->count; ++i) {
    Result<Part> part = OpenPart(name->Path(i));
    if (!part.ok()) {
      if (part.status().code() != StatusCode::kNotFound) return part.status();
      return NotFound(fmt::format("{}: no such file, but {} says that the model has {} parts",
                                  name->Path(i), path, name->count));
    }
    parts.push_back(std::move(part).value());
  }
  RETURN_IF_ERROR(CheckParts(parts));
  return Join(std::move(parts));
}

}  // namespace pelton
