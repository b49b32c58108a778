#include "tensor_list.h"

#include <algorithm>
#include <charconv>
#include <cstring>
#include <optional>

#include "base/checked_math.h"
#include "models/weights/safetensors.h"

namespace pelton::fuzz {
namespace {

constexpr size_t kMostTensors = 1024;
constexpr uint64_t kMostBytes = 256 << 10;

std::string_view TakeWord(std::string_view* line) {
  const size_t end = std::min(line->find(' '), line->size());
  const std::string_view word = line->substr(0, end);
  line->remove_prefix(std::min(line->size(), end + 1));
  return word;
}

// Small numbers of both signs where the type is one of floats; bytes otherwise.
void Fill(DType dtype, std::span<std::byte> out) {
  uint32_t state = 12345;
  const auto next = [&] { return state = state * 1664525 + 1013904223; };
  for (size_t i = 0; i < out.size(); ++i) {
    const uint32_t random = next() >> 8;
    uint32_t byte = random & 0xff;
    const size_t element = dtype == DType::kF32 ? 4 : 2;
    const bool last = i % element == element - 1;
    if (dtype == DType::kF32 || dtype == DType::kBF16) {
      byte = last ? 0x3e | (random & 0x80) : byte;
    } else if (dtype == DType::kF16) {
      byte = last ? 0x30 | (random & 0x83) : byte;
    } else if (dtype == DType::kF8E4M3) {
      byte = 0x30 | (random & 0x87);
    } else if (dtype == DType::kF8E8M0) {
      byte = 0x7f;
    }
    out[i] = static_cast<std::byte>(byte);
  }
}

bool FillWith(std::string_view hex, std::span<std::byte> out) {
  std::vector<std::byte> pattern;
  for (size_t i = 0; i + 1 < hex.size(); i += 2) {
    uint8_t byte = 0;
    const auto [end, error] = std::from_chars(hex.data() + i, hex.data() + i + 2, byte, 16);
    if (error != std::errc() || end != hex.data() + i + 2) return false;
    pattern.push_back(static_cast<std::byte>(byte));
  }
  if (pattern.empty()) return false;
  for (size_t i = 0; i < out.size(); ++i) out[i] = pattern[i % pattern.size()];
  return true;
}

// As readers of files: whole blocks in a row, and sizes whose product fits.
std::optional<uint64_t> BytesOf(const TensorInfo& tensor) {
  uint64_t elements = 1;
  for (const uint64_t size : tensor.dims()) {
    const auto product = CheckedMul<uint64_t>(elements, size);
    if (!product) return std::nullopt;
    elements = *product;
  }
  const uint64_t columns = tensor.rank == 0 ? 1 : tensor.sizes[tensor.rank - 1];
  if (!RowBytes(tensor.dtype, columns)) return std::nullopt;
  return RowBytes(tensor.dtype, elements);
}

// "[3, 4]..." into sizes.
bool ReadSizes(std::string_view text, TensorInfo* tensor) {
  tensor->rank = 0;
  if (!text.starts_with('[')) return false;
  for (text.remove_prefix(1); tensor->rank < kMaxTensorRank;) {
    uint64_t& size = tensor->sizes[tensor->rank++];
    const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), size);
    if (error != std::errc()) return false;
    text.remove_prefix(static_cast<size_t>(end - text.data()));
    if (!text.starts_with(", ")) return text.starts_with(']');
    text.remove_prefix(2);
  }
  return false;
}

bool ReadLine(std::string_view line, uint64_t* left, Checkpoint* out) {
  TensorInfo tensor;
  tensor.name = TakeWord(&line);
  const auto dtype = ParseDType(TakeWord(&line));
  if (tensor.name.empty() || !dtype) return false;
  tensor.dtype = *dtype;
  while (!line.empty() && line[0] != '=') {
    const std::string_view word = TakeWord(&line);
    if (tensor.rank == kMaxTensorRank) return false;
    uint64_t& size = tensor.sizes[tensor.rank++];
    const auto [end, error] = std::from_chars(word.data(), word.data() + word.size(), size);
    if (error != std::errc() || end != word.data() + word.size()) return false;
  }
  const auto bytes = BytesOf(tensor);
  if (!bytes || *bytes > *left) return false;
  *left -= *bytes;
  const std::span<std::byte> data{out->Own(*bytes), *bytes};
  Fill(tensor.dtype, data);
  if (!line.empty() && !FillWith(line.substr(1), data)) return false;
  tensor.data = data;
  out->parts.tensors.push_back(tensor);
  return true;
}

}  // namespace

std::byte* Checkpoint::Own(size_t size) {
  const size_t shift = parts.format == WeightFormat::kGguf ? 0 : 1;
  data.push_back(std::make_unique<std::byte[]>(size + shift));
  return data.back().get() + shift;
}

Result<WeightSource> Checkpoint::Source() const {
  return WeightSource::Create(
      {.format = parts.format, .files = {}, .name_storage = {}, .tensors = parts.tensors});
}

bool ReadImage(std::span<const std::byte> bytes, Checkpoint* out) {
  Result<SafetensorsImage> image = ParseSafetensors(bytes, "fuzz.safetensors");
  if (!image.ok()) return false;
  for (TensorInfo& tensor : image->tensors) {
    std::byte* own = out->Own(tensor.data.size());
    if (!tensor.data.empty()) std::memcpy(own, tensor.data.data(), tensor.data.size());
    tensor.data = {own, tensor.data.size()};
  }
  out->parts.name_storage.push_back(std::move(image->names));
  out->parts.tensors = std::move(image->tensors);
  return true;
}

bool ReadList(std::string_view text, Checkpoint* out) {
  uint64_t left = kMostBytes;
  while (!text.empty()) {
    const size_t end = std::min(text.find('\n'), text.size());
    const std::string_view line = text.substr(0, end);
    text.remove_prefix(std::min(text.size(), end + 1));
    if (line == "gguf" && out->parts.tensors.empty()) {
      out->parts.format = WeightFormat::kGguf;
      continue;
    }
    if (line.starts_with("mend ") && out->parts.tensors.empty()) {
      out->mend_type = ParseDType(line.substr(5));
      continue;
    }
    if (out->parts.tensors.size() == kMostTensors || !ReadLine(line, &left, out)) return false;
  }
  return true;
}

bool Mend(std::string_view refusal, Checkpoint* checkpoint) {
  std::vector<TensorInfo>& tensors = checkpoint->parts.tensors;
  constexpr std::string_view kTensor = ": tensor ", kFound = ": found ", kExpected = ", expected ";
  const size_t at = refusal.find(kTensor), found = refusal.find(kFound);
  const size_t expected = refusal.find(kExpected);
  if (!checkpoint->mend_type || at == std::string_view::npos || found == std::string_view::npos ||
      expected == std::string_view::npos || found < at + kTensor.size()) {
    return false;
  }
  const std::string_view name = refusal.substr(at + kTensor.size(), found - at - kTensor.size());
  const std::string_view wanted = refusal.substr(expected + kExpected.size());
  const bool scales = name.ends_with("_scale_inv");
  auto tensor = std::ranges::find(tensors, name, &TensorInfo::name);
  if (refusal.substr(found + kFound.size()).starts_with("none")) {
    if (tensor != tensors.end() || tensors.size() == kMostTensors) return false;
    checkpoint->mended_names.push_back(std::make_unique<std::string>(name));
    tensors.emplace_back().name = *checkpoint->mended_names.back();
    tensor = tensors.end() - 1;
    tensor->dtype = scales ? DType::kF32 : *checkpoint->mend_type;
  } else if (tensor == tensors.end()) {
    return false;
  } else if (!ReadSizes(wanted, &*tensor)) {
    const std::string_view type = wanted.substr(0, wanted.find(','));
    tensor->dtype = ParseDType(type).value_or(DType::kF32);
  }
  auto bytes = BytesOf(*tensor);
  if (!bytes) {  // no whole blocks
    tensor->dtype = DType::kF32;
    bytes = BytesOf(*tensor);
  }
  uint64_t others = 0;
  for (const TensorInfo& one : tensors) others += &one == &*tensor ? 0 : one.data.size();
  if (!bytes || *bytes > kMostBytes || others + *bytes > kMostBytes) return false;
  const std::span<std::byte> data{checkpoint->Own(*bytes), *bytes};
  Fill(tensor->dtype, data);
  if (scales) FillWith("0000803f", data);
  tensor->data = data;
  return true;
}

}  // namespace pelton::fuzz
