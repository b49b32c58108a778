#include <utility>

#include "text/tokenizer/tokenizer.h"
#include "text/tokenizer/utf8.h"

namespace pelton {

namespace {

// A surrogate in UTF-8's form less its last byte is no character, whatever follows; but the
// reference holds it until it is complete.
bool IsHalfOfSurrogate(std::string_view bytes, size_t pos) {
  return pos + 2 == bytes.size() && bytes[pos] == '\xED' &&
         static_cast<unsigned char>(bytes[pos + 1]) >= 0xA0 &&
         static_cast<unsigned char>(bytes[pos + 1]) <= 0xBF;
}

}  // namespace

std::string StreamDecoder::Feed(int32_t id) {
  if (id < 0 || static_cast<size_t>(id) >= tokenizer_->vocab_size()) return {};
  if (skip_special_ && tokenizer_->IsSpecial(id)) return {};
  std::string_view piece = tokenizer_->Piece(id);
  if (piece.empty()) return {};
  if (!started_ && tokenizer_->strips_first_space() && piece.starts_with(' ')) {
    piece.remove_prefix(1);
  }
  started_ = true;
  std::string bytes = std::move(held_);
  held_.clear();
  bytes.append(piece);
  std::string text;
  text.reserve(bytes.size());
  for (size_t pos = 0; pos < bytes.size();) {
    const tokenizer::Utf8Step step = tokenizer::StepUtf8(bytes, pos);
    if (step.incomplete || IsHalfOfSurrogate(bytes, pos)) {
      held_ = bytes.substr(pos);
      break;
    }
    if (step.valid) {
      text.append(bytes, pos, step.size);
    } else {
      text.append(tokenizer::kReplacementText);
    }
    pos += step.size;
  }
  return text;
}

std::string StreamDecoder::Flush() {
  started_ = false;
  std::string replaced;
  const std::string text(tokenizer::ReplaceInvalidUtf8(held_, &replaced));
  held_.clear();
  return text;
}

}  // namespace pelton
