#include "text/tokenizer/byte_alphabet.h"
#include "text/tokenizer/byte_token.h"
#include "text/tokenizer/json_parts.h"

namespace pelton::tokenizer {

namespace {

void ReplaceAll(std::string_view from, std::string_view to, std::string* text) {
  std::string out;
  size_t done = 0;
  for (size_t at = text->find(from); at != std::string::npos; at = text->find(from, done)) {
    out.append(*text, done, at - done).append(to);
    done = at + from.size();
  }
  if (done == 0) return;
  *text = out.append(*text, done);
}

}  // namespace

Result<PieceDecoder> PieceDecoder::FromJson(std::optional<JsonValue> decoder, bool byte_fallback) {
  PieceDecoder made;
  made.byte_fallback_ = byte_fallback;
  if (decoder) RETURN_IF_ERROR(made.Add(*decoder, 0));
  return made;
}

Status PieceDecoder::Add(JsonValue decoder, int depth) {
  const std::string_view type = JsonType(decoder);
  if (depth > kMaxJsonDepth) return InvalidArgument("tokenizer.json: decoders nest too deeply");
  if (type == "Sequence") {
    const auto decoders = JsonArray(decoder, "decoders");
    if (!decoders) return InvalidArgument("tokenizer.json: a decoder sequence has no decoders");
    for (const JsonValue member : *decoders) RETURN_IF_ERROR(Add(member, depth + 1));
  } else if (type == "ByteLevel") {
    byte_level_ = true;
  } else if (type == "ByteFallback") {
    byte_fallback_ = true;
  } else if (type == "Fuse") {
    // Pieces are always joined.
  } else if (type == "Replace") {
    const std::optional<JsonValue> pattern = JsonMember(decoder, "pattern");
    const auto from = pattern ? JsonText(*pattern, "String") : std::nullopt;
    const auto to = JsonText(decoder, "content");
    if (!from || from->empty() || !to) return UnknownComponent("decoder", "Replace with a regex");
    replacements_.emplace_back(*from, *to);
  } else if (type == "Strip") {
    const int64_t start = JsonInteger(decoder, "start").value_or(0);
    const int64_t stop = JsonInteger(decoder, "stop").value_or(0);
    if (JsonText(decoder, "content") != " " || start < 0 || start > 1 || stop != 0) {
      return UnknownComponent("decoder", "Strip of anything but one leading space");
    }
    strips_first_space_ = start == 1;
  } else if (type == "Metaspace") {
    replacements_.emplace_back(JsonText(decoder, "replacement").value_or("\u2581"), " ");
    const auto scheme = JsonText(decoder, "prepend_scheme");
    strips_first_space_ = scheme ? scheme != "never" : JsonFlag(decoder, "add_prefix_space", true);
  } else if (type == "WordPiece") {
    word_prefix_ = JsonText(decoder, "prefix").value_or("##");
    strips_first_space_ = true;
  } else if (type == "BPEDecoder") {
    word_suffix_ = JsonText(decoder, "suffix").value_or("</w>");
  } else {
    return UnknownComponent("decoder", type);
  }
  return OkStatus();
}

void PieceDecoder::Decode(std::string_view text, std::string* piece, bool* byte) const {
  *byte = false;
  if (byte_level_ && AppendBytesOf(text, piece)) return;
  if (byte_fallback_) {
    if (const std::optional<unsigned char> value = ByteOfToken(text)) {
      piece->push_back(static_cast<char>(*value));
      *byte = true;
      return;
    }
  }
  std::string changed(text);
  for (const auto& [from, to] : replacements_) ReplaceAll(from, to, &changed);
  if (word_prefix_) {
    if (text.starts_with(*word_prefix_) && text.size() > word_prefix_->size()) {
      changed.erase(0, word_prefix_->size());
    } else {
      changed.insert(0, " ");
    }
  }
  if (!word_suffix_.empty() && changed.ends_with(word_suffix_)) {
    changed.replace(changed.size() - word_suffix_.size(), word_suffix_.size(), " ");
  }
  piece->append(changed);
}

void PieceDecoder::DecodeAdded(std::string_view text, std::string* piece) const {
  std::string changed(text);
  for (const auto& [from, to] : replacements_) ReplaceAll(from, to, &changed);
  if (word_prefix_) piece->push_back(' ');
  piece->append(changed);
}

}  // namespace pelton::tokenizer
