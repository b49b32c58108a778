#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <utility>

#include "text/tokenizer/protobuf_reader.h"
#include "text/tokenizer/sentencepiece_parts.h"
#include "text/tokenizer/special_names.h"
#include "text/tokenizer/tokenizer.h"

namespace pelton {

namespace tokenizer {

namespace {

// Field numbers and defaults: google/sentencepiece, src/sentencepiece_model.proto.

struct TrainerSpec {
  uint64_t model_type = 1;  // 1 unigram, 2 BPE, 3 words, 4 characters
  bool space_as_suffix = false;
  int64_t unknown = 0;
  int64_t bos = 1;
  int64_t eos = 2;
  int64_t padding = -1;
};

std::string_view AsText(std::span<const std::byte> bytes) {
  return {reinterpret_cast<const char*>(bytes.data()), bytes.size()};
}

bool ReadPiece(std::span<const std::byte> message, SentencePieceSource* source) {
  ProtobufReader reader(message);
  std::string_view text;
  float score = 0;
  uint64_t kind = 1;
  while (reader.Next()) {
    if (reader.field() == 1 && reader.is_bytes()) text = AsText(reader.bytes());
    if (reader.field() == 2 && reader.is_fixed32()) score = reader.float_value();
    if (reader.field() == 3 && reader.is_varint()) kind = reader.number();
  }
  if (kind < 1 || kind > 6) return false;
  source->texts.push_back(text);
  source->scores.push_back(score);
  source->kinds.push_back(static_cast<TokenKind>(kind));
  return reader.ok();
}

bool ReadTrainerSpec(std::span<const std::byte> message, TrainerSpec* spec) {
  ProtobufReader reader(message);
  while (reader.Next()) {
    if (!reader.is_varint()) continue;
    // An int32 is written with the sign extended to 64 bits.
    const auto integer = static_cast<int64_t>(reader.number());
    switch (reader.field()) {
      case 3:
        spec->model_type = reader.number();
        break;
      case 24:
        spec->space_as_suffix = reader.number() != 0;
        break;
      case 40:
        spec->unknown = integer;
        break;
      case 41:
        spec->bos = integer;
        break;
      case 42:
        spec->eos = integer;
        break;
      case 43:
        spec->padding = integer;
        break;
      default:
        break;
    }
  }
  return reader.ok();
}

struct NormalizerSpec {
  std::span<const std::byte> charsmap;
  bool dummy_prefix = true;
  bool remove_extra_spaces = true;
  bool escape_spaces = true;
};

bool ReadNormalizerSpec(std::span<const std::byte> message, NormalizerSpec* spec) {
  ProtobufReader reader(message);
  while (reader.Next()) {
    if (reader.field() == 2 && reader.is_bytes()) spec->charsmap = reader.bytes();
    if (!reader.is_varint()) continue;
    if (reader.field() == 3) spec->dummy_prefix = reader.number() != 0;
    if (reader.field() == 4) spec->remove_extra_spaces = reader.number() != 0;
    if (reader.field() == 5) spec->escape_spaces = reader.number() != 0;
  }
  return reader.ok();
}

Status AddSpecialTokens(const TrainerSpec& trainer, TokenizerParts* parts) {
  const Vocabulary& vocabulary = *parts->vocabulary;
  const auto id_or_none = [&](int64_t id) {
    const bool exists = id >= 0 && static_cast<uint64_t>(id) < vocabulary.size();
    return exists ? std::optional<int32_t>(static_cast<int32_t>(id)) : std::nullopt;
  };
  parts->bos = id_or_none(trainer.bos);
  parts->eos = id_or_none(trainer.eos);
  parts->padding = id_or_none(trainer.padding);
  if (parts->bos) {
    parts->prefix.push_back(*parts->bos);
  } else if (parts->eos) {
    parts->suffix.push_back(*parts->eos);
  }
  for (int32_t id = 0; static_cast<size_t>(id) < vocabulary.size(); ++id) {
    if (!vocabulary.IsSpecial(id) || vocabulary.text(id).empty()) continue;
    if (!parts->added.Add(vocabulary.text(id), {.id = id, .special = true})) {
      return DataLoss("the SentencePiece model's special token " + std::to_string(id) + " has " +
                      std::to_string(vocabulary.text(id).size()) + " bytes, more than " +
                      std::to_string(AddedTokens::kMaxBytes));
    }
  }
  FillEndTokens({}, parts);
  return OkStatus();
}

Result<TokenizerParts> PartsFromModel(std::span<const std::byte> model) {
  SentencePieceSource source;
  TrainerSpec trainer;
  NormalizerSpec normalizer;
  ProtobufReader reader(model);
  bool ok = true;
  while (ok && reader.Next()) {
    if (!reader.is_bytes()) continue;
    if (reader.field() == 1) ok = ReadPiece(reader.bytes(), &source);
    if (reader.field() == 2) ok = ReadTrainerSpec(reader.bytes(), &trainer);
    if (reader.field() == 3) ok = ReadNormalizerSpec(reader.bytes(), &normalizer);
  }
  if (!ok || !reader.ok() || source.texts.empty()) {
    return DataLoss("the file is no SentencePiece model or is damaged");
  }
  if (trainer.model_type != 1 && trainer.model_type != 2) {
    return Unimplemented("SentencePiece model type " + std::to_string(trainer.model_type) +
                         " is not supported, only 1 (unigram) and 2 (BPE)");
  }
  source.unigram = trainer.model_type == 1;
  if (trainer.unknown >= 0 && static_cast<uint64_t>(trainer.unknown) < source.texts.size()) {
    source.unknown = static_cast<int32_t>(trainer.unknown);
  }
  source.normalization.dummy_prefix = normalizer.dummy_prefix;
  source.normalization.dummy_suffix = trainer.space_as_suffix;
  source.normalization.remove_extra_spaces = normalizer.remove_extra_spaces;
  source.normalization.escape_spaces = normalizer.escape_spaces;
  if (!normalizer.charsmap.empty()) {
    ASSIGN_OR_RETURN(source.normalization.charsmap, Charsmap::FromBytes(normalizer.charsmap));
  }
  ASSIGN_OR_RETURN(TokenizerParts parts,
                   PartsFromSentencePiece(std::move(source), "the SentencePiece model"));
  RETURN_IF_ERROR(AddSpecialTokens(trainer, &parts));
  return parts;
}

}  // namespace

}  // namespace tokenizer

Result<std::unique_ptr<Tokenizer>> TokenizerFromSentencePiece(std::span<const std::byte> model) {
  ASSIGN_OR_RETURN(tokenizer::TokenizerParts parts, tokenizer::PartsFromModel(model));
  return std::make_unique<Tokenizer>(std::move(parts));
}

}  // namespace pelton
