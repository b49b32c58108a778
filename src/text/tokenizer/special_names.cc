#include "text/tokenizer/special_names.h"

#include <algorithm>
#include <array>
#include <string_view>

namespace pelton::tokenizer {

namespace {

// In order of preference where a vocabulary has several.
constexpr std::array<std::string_view, 14> kEndOfTurn = {
    "<|eot_id|>",
    "<|im_end|>",
    "<|end|>",
    "<end_of_turn>",
    "<turn|>",
    "<|eot|>",
    "<|eom_id|>",
    "<EOT>",
    "<|EOT|>",
    "<|end_of_turn|>",
    "<|END_OF_TURN_TOKEN|>",
    "<end_of_utterance>",
    "[EOT]",
    "<\xEF\xBD\x9C"
    "end\xE2\x96\x81of\xE2\x96\x81sentence\xEF\xBD\x9C>",
};

constexpr std::array<std::string_view, 19> kEndOfAnswer = {
    "<|eot_id|>",
    "<|im_end|>",
    "<|end|>",
    "<end_of_turn>",
    "<turn|>",
    "<|eot|>",
    "<|eom_id|>",
    "<EOT>",
    "<|EOT|>",
    "<|end_of_turn|>",
    "<|END_OF_TURN_TOKEN|>",
    "<end_of_utterance>",
    "[EOT]",
    "<|endoftext|>",
    "<|end_of_text|>",
    "<eos>",
    "<|return|>",
    "<|call|>",
    "<\xEF\xBD\x9C"
    "end\xE2\x96\x81of\xE2\x96\x81sentence\xEF\xBD\x9C>",
};

// Only tokens that a text cannot spell by accident.
int32_t FindMarker(const Vocabulary& vocabulary, std::string_view name) {
  const int32_t id = vocabulary.FindAny(name);
  if (id == kNoToken) return kNoToken;
  const TokenKind kind = vocabulary.kind(id);
  return kind == TokenKind::kControl || kind == TokenKind::kUserDefined ? id : kNoToken;
}

}  // namespace

void FillEndTokens(const std::vector<int32_t>& more, TokenizerParts* parts) {
  const Vocabulary& vocabulary = *parts->vocabulary;
  std::vector<int32_t> ends = more;
  for (const std::string_view name : kEndOfAnswer) {
    const int32_t id = FindMarker(vocabulary, name);
    if (id != kNoToken) ends.push_back(id);
  }
  // Where an answer is a sequence of messages, <|end|> only ends one of them.
  if (FindMarker(vocabulary, "<|return|>") != kNoToken &&
      FindMarker(vocabulary, "<|call|>") != kNoToken) {
    std::erase(ends, FindMarker(vocabulary, "<|end|>"));
  }
  for (size_t i = 0; !parts->eot && i < kEndOfTurn.size(); ++i) {
    const int32_t id = FindMarker(vocabulary, kEndOfTurn[i]);
    if (std::find(ends.begin(), ends.end(), id) != ends.end()) parts->eot = id;
  }
  if (!parts->eot) parts->eot = parts->eos;
  if (parts->eos) ends.push_back(*parts->eos);
  if (parts->eot) ends.push_back(*parts->eot);
  std::sort(ends.begin(), ends.end());
  ends.erase(std::unique(ends.begin(), ends.end()), ends.end());
  std::erase_if(ends, [&](int32_t id) { return !vocabulary.Has(id); });
  parts->end_of_generation = std::move(ends);
}

}  // namespace pelton::tokenizer
