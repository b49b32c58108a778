#include "text/tokenizer/gguf_parts.h"

#include <array>
#include <optional>
#include <string>
#include <string_view>
#include <utility>

#include "text/tokenizer/special_names.h"
#include "text/tokenizer/tokenizer.h"

namespace pelton {

namespace tokenizer {

namespace {

// The id under `key`, if there is one.
Status ReadId(const VocabMetadata& metadata, std::string_view key, const Vocabulary& vocabulary,
              std::optional<int32_t>* id) {
  const std::optional<int64_t> value = metadata.Integer(key);
  if (!value) return OkStatus();
  // Converters wrote -1 or 2^32 - 1 for "none".
  if (*value == -1 || *value == 0xFFFFFFFF) return OkStatus();
  if (*value < 0 || static_cast<uint64_t>(*value) >= vocabulary.size()) {
    return DataLoss(std::string(key) + " is " + std::to_string(*value) + ", but there are " +
                    std::to_string(vocabulary.size()) + " tokens");
  }
  *id = static_cast<int32_t>(*value);
  return OkStatus();
}

}  // namespace

Result<std::vector<TokenKind>> KindsFromGguf(const VocabMetadata& metadata, size_t size) {
  std::vector<TokenKind> kinds(size, TokenKind::kNormal);
  const std::vector<int32_t> types = metadata.Integers("tokenizer.ggml.token_type");
  if (types.empty()) return kinds;
  if (types.size() != size) {
    return DataLoss("tokenizer.ggml.token_type has " + std::to_string(types.size()) +
                    " entries, but there are " + std::to_string(size) + " tokens");
  }
  for (size_t i = 0; i < size; ++i) {
    if (types[i] < 0 || types[i] > static_cast<int32_t>(TokenKind::kByte)) {
      return DataLoss("tokenizer.ggml.token_type of token " + std::to_string(i) + " is " +
                      std::to_string(types[i]) + ", expected 0 to 6");
    }
    // 0, "undefined", is a token like others.
    kinds[i] = types[i] == 0 ? TokenKind::kNormal : static_cast<TokenKind>(types[i]);
  }
  return kinds;
}

Status FinishPartsFromGguf(const VocabMetadata& metadata, bool adds_bos, bool adds_eos,
                           TokenizerParts* parts) {
  const Vocabulary& vocabulary = *parts->vocabulary;
  const auto read = [&](std::string_view key, std::optional<int32_t>* id) {
    return ReadId(metadata, key, vocabulary, id);
  };
  RETURN_IF_ERROR(read("tokenizer.ggml.bos_token_id", &parts->bos));
  RETURN_IF_ERROR(read("tokenizer.ggml.eos_token_id", &parts->eos));
  RETURN_IF_ERROR(read("tokenizer.ggml.eot_token_id", &parts->eot));
  RETURN_IF_ERROR(read("tokenizer.ggml.unknown_token_id", &parts->unknown));
  RETURN_IF_ERROR(read("tokenizer.ggml.padding_token_id", &parts->padding));
  std::optional<int32_t> eom;
  RETURN_IF_ERROR(read("tokenizer.ggml.eom_token_id", &eom));
  std::vector<int32_t> more_ends;
  if (eom) more_ends.push_back(*eom);

  adds_bos = metadata.Bool("tokenizer.ggml.add_bos_token").value_or(adds_bos);
  adds_eos = metadata.Bool("tokenizer.ggml.add_eos_token").value_or(adds_eos);
  if (adds_bos && parts->bos) parts->prefix.push_back(*parts->bos);
  if (adds_eos && parts->eos) parts->suffix.push_back(*parts->eos);

  for (int32_t id = 0; static_cast<size_t>(id) < vocabulary.size(); ++id) {
    const TokenKind kind = vocabulary.kind(id);
    if (kind != TokenKind::kControl && kind != TokenKind::kUnknown &&
        kind != TokenKind::kUserDefined) {
      continue;
    }
    const std::string_view text = vocabulary.text(id);
    if (text.empty() || parts->added_normalized.Exact(text)) continue;
    if (!parts->added.Add(text, {.id = id, .special = kind != TokenKind::kUserDefined})) {
      return DataLoss("special token " + std::to_string(id) + " has " +
                      std::to_string(text.size()) + " bytes, more than " +
                      std::to_string(AddedTokens::kMaxBytes));
    }
  }
  FillEndTokens(more_ends, parts);
  return OkStatus();
}

}  // namespace tokenizer

Result<std::unique_ptr<Tokenizer>> TokenizerFromMetadata(const VocabMetadata& metadata) {
  const std::optional<std::string_view> model = metadata.String("tokenizer.ggml.model");
  if (!model) return InvalidArgument("the file has no tokenizer.ggml.model, so no tokenizer");
  const auto read = [&]() -> Result<tokenizer::TokenizerParts> {
    if (*model == "gpt2" || *model == "gemma4") {
      return tokenizer::RankedBpePartsFromGguf(metadata);
    }
    if (*model == "llama") return tokenizer::SentencePiecePartsFromGguf(metadata, false);
    if (*model == "t5") return tokenizer::SentencePiecePartsFromGguf(metadata, true);
    if (*model == "bert") return tokenizer::WordPiecePartsFromGguf(metadata);
    return Unimplemented("tokenizer.ggml.model \"" + std::string(model->substr(0, 64)) +
                         "\" is not known");
  };
  ASSIGN_OR_RETURN(tokenizer::TokenizerParts parts, read());
  return std::make_unique<Tokenizer>(std::move(parts));
}

}  // namespace pelton
