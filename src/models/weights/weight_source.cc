#include "models/weights/weight_source.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <functional>

#include "models/weights/field_error.h"
#include "models/weights/name_order.h"

namespace pelton {
namespace {

bool Holds(const MappedFile& file, std::span<const std::byte> part) {
  const std::span<const std::byte> bytes = file.bytes();
  const std::less_equal<const std::byte*> not_after;
  return not_after(bytes.data(), part.data()) &&
         not_after(part.data() + part.size(), bytes.data() + bytes.size());
}

}  // namespace

uint64_t TensorInfo::NumElements() const {
  uint64_t product = 1;
  for (const uint64_t size : dims()) product *= size;
  return product;
}

std::string TensorInfo::ShapeText() const {
  return fmt::format("[{}]", fmt::join(sizes.begin(), sizes.begin() + rank, ", "));
}

Result<WeightSource> WeightSource::Create(Parts parts) {
  WeightSource source(std::move(parts));
  const std::vector<TensorInfo>& tensors = source.parts_.tensors;
  const auto name_of = [&](uint32_t i) { return tensors[i].name; };
  source.by_name_ = OrderByName(tensors.size(), name_of);
  if (const auto repeated = FindRepeatedName(source.by_name_, name_of)) {
    const TensorInfo& tensor = tensors[*repeated];
    const MappedFile* file = source.HolderOf(tensor.data);
    return FieldError(file == nullptr ? "model" : file->path(), "tensor name",
                      Quoted(tensor.name) + " more than once", "every name once");
  }
  return source;
}

const TensorInfo* WeightSource::Find(std::string_view name) const {
  const auto found = FindName(by_name_, name, [&](uint32_t i) { return parts_.tensors[i].name; });
  return found ? &parts_.tensors[*found] : nullptr;
}

const MappedFile* WeightSource::HolderOf(std::span<const std::byte> bytes) const {
  for (const MappedFile& file : parts_.files) {
    if (Holds(file, bytes)) return &file;
  }
  return nullptr;
}

const std::string& WeightSource::FileOf(const TensorInfo& tensor) const {
  static const std::string no_file = "model";
  const MappedFile* file = HolderOf(tensor.data);
  return file == nullptr ? no_file : file->path();
}

void WeightSource::Forget(std::span<const std::byte> bytes) const {
  if (const MappedFile* file = HolderOf(bytes)) file->Forget(bytes);
}

uint64_t WeightSource::TotalBytes() const {
  uint64_t total = 0;  // cannot wrap: the tensors lie side by side in memory
  for (const TensorInfo& tensor : parts_.tensors) total += tensor.data.size();
  return total;
}

}  // namespace pelton
