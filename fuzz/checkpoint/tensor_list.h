#pragma once

#include <cstddef>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "models/weights/weight_source.h"

namespace pelton::fuzz {

// The tensors of a made-up checkpoint. Each has memory of its own, of exactly its size, so that a
// sanitizer sees what reads beyond its end; aligned to nothing where files promise nothing.
struct Checkpoint {
  WeightSource::Parts parts{
      .format = WeightFormat::kSafetensors, .files = {}, .name_storage = {}, .tensors = {}};
  std::vector<std::unique_ptr<std::byte[]>> data;
  std::optional<DType> mend_type;  // that Mend gives to matrices; none: it does nothing
  std::vector<std::unique_ptr<std::string>> mended_names;

  std::byte* Own(size_t size);
  // Borrows names and data.
  Result<WeightSource> Source() const;
};

// From an image of a safetensors file; false if it is none.
bool ReadImage(std::span<const std::byte> bytes, Checkpoint* out);

// From a list, a line for each tensor: NAME TYPE SIZE... [=HEX]. A first line of "gguf" says that
// names and sizes are those of a GGUF file, "mend TYPE" that Mend may work. The bytes repeat HEX,
// or make small numbers of the type. Mutations of a list stay checkpoints, those of an image hardly
// ever do. False if a line is something else, or all are more than 256 KiB.
bool ReadList(std::string_view text, Checkpoint* out);

// Does what a refusal asks for: adds the tensor that is missing, or gives one the shape or the type
// that was expected. So any configuration gets the tensors that it needs. False if it cannot.
bool Mend(std::string_view refusal, Checkpoint* checkpoint);

}  // namespace pelton::fuzz
