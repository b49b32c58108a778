#include "text/tokenizer/tokenizer.h"

namespace pelton {

Result<std::unique_ptr<Tokenizer>> TokenizerFromJson(std::string_view, std::string_view) {
  return Unimplemented("tokenizer.json is not supported by this build");
}

}  // namespace pelton
