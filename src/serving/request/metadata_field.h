#pragma once

#include "serving/request/field_reader.h"

namespace pelton {

// Reads `metadata` as OpenAI's interface has it: an object of at most 16 texts of up to 512 bytes,
// under names of up to 64.
void ReadMetadata(FieldReader& reader, Json* out);

}  // namespace pelton
