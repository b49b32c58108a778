#include <algorithm>
#include <array>

#include "text/tokenizer/json_parts.h"
#include "text/tokenizer/special_names.h"
#include "text/tokenizer/tokenizer.h"

namespace pelton {

namespace tokenizer {

namespace {

// A special token in tokenizer_config.json: its text, or an object with the text in "content".
std::optional<int32_t> ConfigToken(JsonValue config, std::string_view key,
                                   const Vocabulary& vocabulary) {
  const auto value = JsonMember(config, key);
  if (!value) return std::nullopt;
  auto text = JsonText(*value);
  if (!text) text = JsonText(*value, "content");
  const int32_t id = text ? vocabulary.FindAny(*text) : kNoToken;
  return id == kNoToken ? std::nullopt : std::optional<int32_t>(id);
}

void ApplyConfig(JsonValue config, TokenizerParts* parts) {
  const Vocabulary& vocabulary = *parts->vocabulary;
  parts->bos = ConfigToken(config, "bos_token", vocabulary);
  parts->eos = ConfigToken(config, "eos_token", vocabulary);
  parts->padding = ConfigToken(config, "pad_token", vocabulary);
  if (const auto unknown = ConfigToken(config, "unk_token", vocabulary)) parts->unknown = unknown;
  // The vendor's class adds these after the post-processor was made, or takes them away.
  const auto apply = [&](std::string_view key, std::optional<int32_t> id,
                         std::vector<int32_t>* ids) {
    if (!JsonMember(config, key) || !id) return;
    const bool wanted = JsonFlag(config, key, false);
    const bool there = std::find(ids->begin(), ids->end(), *id) != ids->end();
    if (wanted && !there) ids->push_back(*id);
    if (!wanted && there) std::erase(*ids, *id);
  };
  apply("add_bos_token", parts->bos, &parts->prefix);
  apply("add_eos_token", parts->eos, &parts->suffix);
}

// For files without a tokenizer_config.json.
void GuessSpecialTokens(TokenizerParts* parts) {
  constexpr std::array<std::string_view, 8> kEnds = {
      "</s>",
      "<|endoftext|>",
      "<|end_of_text|>",
      "<|im_end|>",
      "<eos>",
      "<|EOT|>",
      "[SEP]",
      "<\xEF\xBD\x9C"
      "end\xE2\x96\x81of\xE2\x96\x81sentence\xEF\xBD\x9C>"};
  const Vocabulary& vocabulary = *parts->vocabulary;
  if (!parts->prefix.empty()) parts->bos = parts->prefix.front();
  if (!parts->suffix.empty()) parts->eos = parts->suffix.back();
  for (size_t i = 0; !parts->eos && i < kEnds.size(); ++i) {
    const int32_t id = vocabulary.FindAny(kEnds[i]);
    if (id != kNoToken && vocabulary.kind(id) == TokenKind::kControl) parts->eos = id;
  }
  for (const std::string_view name : {"<pad>", "[PAD]"}) {
    const int32_t id = vocabulary.FindAny(name);
    if (id != kNoToken && vocabulary.kind(id) == TokenKind::kControl) parts->padding = id;
  }
}

Result<TokenizerParts> PartsFromJson(JsonValue json, std::optional<JsonValue> config) {
  TokenizerParts parts;
  if (const auto normalizer = JsonMember(json, "normalizer")) {
    RETURN_IF_ERROR(AddJsonNormalizer(*normalizer, 0, &parts.normalizer));
  }
  bool byte_level = false;
  if (const auto pre_tokenizer = JsonMember(json, "pre_tokenizer")) {
    RETURN_IF_ERROR(AddJsonPreTokenizer(*pre_tokenizer, 0, &parts.pre_tokenizer, &byte_level));
  }
  const auto model = JsonMember(json, "model");
  if (!model) return InvalidArgument("tokenizer.json has no model");
  ASSIGN_OR_RETURN(const PieceDecoder decoder,
                   PieceDecoder::FromJson(JsonMember(json, "decoder"),
                                          JsonFlag(*model, "byte_fallback", false)));
  ASSIGN_OR_RETURN(parts.vocabulary, VocabularyFromJson(json, decoder, byte_level));
  parts.strips_first_space = decoder.strips_first_space();
  RETURN_IF_ERROR(AddJsonAddedTokens(json, &parts));
  RETURN_IF_ERROR(MakeJsonModel(*model, byte_level, &parts));
  if (const auto processor = JsonMember(json, "post_processor")) {
    RETURN_IF_ERROR(AddJsonPostProcessor(*processor, 0, &parts));
  }
  if (config) {
    ApplyConfig(*config, &parts);
  } else {
    GuessSpecialTokens(&parts);
  }
  FillEndTokens({}, &parts);
  return parts;
}

}  // namespace

}  // namespace tokenizer

Result<std::unique_ptr<Tokenizer>> TokenizerFromJson(std::string_view json,
                                                     std::string_view config_json) {
  const auto parse = [](std::string_view text, std::string_view name,
                        simdjson::dom::parser* parser) -> Result<tokenizer::JsonValue> {
    tokenizer::JsonValue value;
    const simdjson::error_code error = parser->parse(simdjson::padded_string(text)).get(value);
    if (error != simdjson::SUCCESS) {
      return InvalidArgument(std::string(name) +
                             " is not valid JSON: " + simdjson::error_message(error));
    }
    if (!value.is_object()) return InvalidArgument(std::string(name) + " is not a JSON object");
    return value;
  };
  simdjson::dom::parser parser;
  ASSIGN_OR_RETURN(const tokenizer::JsonValue value, parse(json, "tokenizer.json", &parser));
  simdjson::dom::parser config_parser;
  std::optional<tokenizer::JsonValue> config;
  if (!config_json.empty()) {
    ASSIGN_OR_RETURN(config, parse(config_json, "tokenizer_config.json", &config_parser));
  }
  ASSIGN_OR_RETURN(tokenizer::TokenizerParts parts, tokenizer::PartsFromJson(value, config));
  return std::make_unique<Tokenizer>(std::move(parts));
}

}  // namespace pelton
