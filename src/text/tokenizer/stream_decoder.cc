#include <utility>

#include "text/tokenizer/tokenizer.h"
#include "text/tokenizer/utf8.h"

namespace pelton {

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
    if (step.incomplete) {
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
  if (held_.empty()) return {};
  held_.clear();
  return std::string(tokenizer::kReplacementText);
}

}  // namespace pelton
