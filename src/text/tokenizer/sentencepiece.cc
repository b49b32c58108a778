#include "text/tokenizer/tokenizer.h"

namespace pelton {

Result<std::unique_ptr<Tokenizer>> TokenizerFromSentencePiece(std::span<const std::byte>) {
  return Unimplemented("SentencePiece models are not supported by this build");
}

}  // namespace pelton
