#include <cstddef>

#include "text/tokenizer/charsmap.h"
#include "text/tokenizer/json_parts.h"

namespace pelton::tokenizer {

namespace {

Status AddReplace(JsonValue value, Normalizer* normalizer) {
  const auto content = JsonText(value, "content");
  const auto pattern = JsonMember(value, "pattern");
  if (content && pattern) {
    const auto text = JsonText(*pattern, "String");
    if (text && !text->empty()) {
      normalizer->Add(MakeReplace(std::string(*text), std::string(*content)));
      return OkStatus();
    }
    if (const auto regex = JsonText(*pattern, "Regex")) {
      ASSIGN_OR_RETURN(Regex compiled, Regex::Compile(*regex));
      normalizer->Add(MakeRegexReplace(std::move(compiled), std::string(*content)));
      return OkStatus();
    }
  }
  return InvalidArgument("tokenizer.json: a Replace has no pattern or no content");
}

// False if `text` is not Base64.
bool DecodeBase64(std::string_view text, std::vector<std::byte>* out) {
  uint32_t bits = 0;
  unsigned num_bits = 0;
  while (text.ends_with('=')) text.remove_suffix(1);
  for (const char c : text) {
    uint32_t value;
    if (c >= 'A' && c <= 'Z') {
      value = static_cast<uint32_t>(c - 'A');
    } else if (c >= 'a' && c <= 'z') {
      value = static_cast<uint32_t>(c - 'a' + 26);
    } else if (c >= '0' && c <= '9') {
      value = static_cast<uint32_t>(c - '0' + 52);
    } else if (c == '+' || c == '/') {
      value = c == '+' ? 62 : 63;
    } else {
      return false;
    }
    bits = bits << 6 | value;
    num_bits += 6;
    if (num_bits < 8) continue;
    num_bits -= 8;
    out->push_back(static_cast<std::byte>(bits >> num_bits & 0xFF));
  }
  return true;
}

Status AddPrecompiled(JsonValue value, Normalizer* normalizer) {
  const auto text = JsonText(value, "precompiled_charsmap");
  if (!text || text->empty()) return OkStatus();  // maps nothing
  std::vector<std::byte> bytes;
  if (!DecodeBase64(*text, &bytes)) {
    return InvalidArgument("tokenizer.json: precompiled_charsmap is not Base64");
  }
  Result<Charsmap> map = Charsmap::FromBytes(bytes);
  if (!map.ok()) return InvalidArgument("tokenizer.json: " + map.status().message());
  normalizer->Add(MakeGraphemeCharsmap(std::move(*map)));
  return OkStatus();
}

}  // namespace

Status AddJsonNormalizer(JsonValue value, int depth, Normalizer* normalizer) {
  if (depth > kMaxJsonDepth) return InvalidArgument("tokenizer.json: normalizers nest too deeply");
  const std::string_view type = JsonType(value);
  if (type == "Sequence") {
    const auto members = JsonArray(value, "normalizers");
    if (!members) return InvalidArgument("tokenizer.json: a normalizer sequence has no members");
    for (const JsonValue member : *members) {
      RETURN_IF_ERROR(AddJsonNormalizer(member, depth + 1, normalizer));
    }
  } else if (type == "NFC") {
    normalizer->Add(MakeNormalForm(NormalForm::kNfc));
  } else if (type == "NFD") {
    normalizer->Add(MakeNormalForm(NormalForm::kNfd));
  } else if (type == "NFKC") {
    normalizer->Add(MakeNormalForm(NormalForm::kNfkc));
  } else if (type == "NFKD") {
    normalizer->Add(MakeNormalForm(NormalForm::kNfkd));
  } else if (type == "Lowercase") {
    normalizer->Add(MakeLowerCase());
  } else if (type == "StripAccents") {
    normalizer->Add(MakeStripAccents());
  } else if (type == "Strip") {
    normalizer->Add(
        MakeStrip(JsonFlag(value, "strip_left", true), JsonFlag(value, "strip_right", true)));
  } else if (type == "Prepend") {
    normalizer->Add(MakePrepend(std::string(JsonText(value, "prepend").value_or(""))));
  } else if (type == "Replace") {
    return AddReplace(value, normalizer);
  } else if (type == "Precompiled") {
    return AddPrecompiled(value, normalizer);
  } else if (type == "BertNormalizer") {
    const bool lower = JsonFlag(value, "lowercase", true);
    normalizer->Add(
        MakeBertNormalizer({.clean_text = JsonFlag(value, "clean_text", true),
                            .space_chinese = JsonFlag(value, "handle_chinese_chars", true),
                            .strip_accents = JsonFlag(value, "strip_accents", lower),
                            .lower_case = lower}));
  } else {
    return UnknownComponent("normalizer", type);
  }
  return OkStatus();
}

}  // namespace pelton::tokenizer
