#include "text/tokenizer/bpe_model.h"
#include "text/tokenizer/byte_alphabet.h"
#include "text/tokenizer/json_parts.h"
#include "text/tokenizer/unigram_model.h"
#include "text/tokenizer/wordpiece_model.h"

namespace pelton::tokenizer {

namespace {

// The two sides of merges[i]: an array of two texts, or one text with a space between.
bool ReadMerge(JsonValue merge, std::string_view* left, std::string_view* right) {
  if (const auto text = JsonText(merge)) {
    const size_t space = text->find(' ');
    if (space == std::string_view::npos || text->find(' ', space + 1) != std::string_view::npos) {
      return false;
    }
    *left = text->substr(0, space);
    *right = text->substr(space + 1);
    return true;
  }
  simdjson::dom::array pair;
  if (merge.get(pair) != simdjson::SUCCESS || pair.size() != 2) return false;
  return pair.at(0).get(*left) == simdjson::SUCCESS && pair.at(1).get(*right) == simdjson::SUCCESS;
}

Status AddMerges(JsonValue model, bool byte_level, MergeTableBuilder* table) {
  const auto merges = JsonArray(model, "merges");
  if (!merges) return OkStatus();
  size_t i = 0;
  std::string left_bytes;
  std::string right_bytes;
  for (const JsonValue merge : *merges) {
    std::string_view left;
    std::string_view right;
    bool sound = ReadMerge(merge, &left, &right);
    if (sound && byte_level) {
      left_bytes.clear();
      right_bytes.clear();
      sound = AppendBytesOf(left, &left_bytes) && AppendBytesOf(right, &right_bytes);
      left = left_bytes;
      right = right_bytes;
    }
    if (!sound) {
      return InvalidArgument("tokenizer.json: merges[" + std::to_string(i) + "] is not two tokens");
    }
    if (!table->Add(left, right)) {
      return InvalidArgument("tokenizer.json: merges[" + std::to_string(i) +
                             "] has a part or a result that is no token");
    }
    ++i;
  }
  return OkStatus();
}

Status MakeBpe(JsonValue model, bool byte_level, TokenizerParts* parts) {
  for (const std::string_view key : {"continuing_subword_prefix", "end_of_word_suffix"}) {
    if (!JsonText(model, key).value_or("").empty()) {
      return Unimplemented("tokenizer.json: a BPE model with " + std::string(key) +
                           " is not supported");
    }
  }
  const Vocabulary& vocabulary = *parts->vocabulary;
  const auto merges = JsonArray(model, "merges");
  MergeTableBuilder table(vocabulary, merges ? merges->size() : 0,
                          MergeTable::Duplicates::kLastWins);
  RETURN_IF_ERROR(AddMerges(model, byte_level, &table));
  parts->model = std::make_unique<BpeModel>(
      vocabulary, table.Finish(),
      BpeOptions{.byte_level = byte_level,
                 .ignore_merges = JsonFlag(model, "ignore_merges", false),
                 .byte_fallback = JsonFlag(model, "byte_fallback", false),
                 .fuse_unknown = JsonFlag(model, "fuse_unk", false),
                 .unknown_id = parts->unknown.value_or(kNoToken)});
  return OkStatus();
}

Status MakeUnigram(JsonValue model, TokenizerParts* parts) {
  const Vocabulary& vocabulary = *parts->vocabulary;
  std::vector<double> scores(vocabulary.size());
  size_t i = 0;
  // VocabularyFromJson has seen that these are pairs.
  const auto pairs = JsonArray(model, "vocab");
  for (const JsonValue pair : *pairs) {
    if (pair.at(1).get(scores[i]) != simdjson::SUCCESS) {
      return InvalidArgument("tokenizer.json: vocab[" + std::to_string(i) + "] has no score");
    }
    ++i;
  }
  if (const auto unknown = JsonInteger(model, "unk_id")) {
    if (*unknown < 0 || static_cast<uint64_t>(*unknown) >= vocabulary.size()) {
      return InvalidArgument("tokenizer.json: unk_id is " + std::to_string(*unknown) +
                             ", but there are " + std::to_string(vocabulary.size()) + " tokens");
    }
    parts->unknown = static_cast<int32_t>(*unknown);
  }
  parts->model = std::make_unique<UnigramModel>(
      vocabulary, std::move(scores),
      UnigramModel::Options{.sums = UnigramModel::Sums::kDouble,
                            .byte_fallback = JsonFlag(model, "byte_fallback", false),
                            .unknown_id = parts->unknown.value_or(kNoToken)});
  return OkStatus();
}

Status MakeWordPiece(JsonValue model, TokenizerParts* parts) {
  const int64_t longest = JsonInteger(model, "max_input_chars_per_word").value_or(100);
  // The work for a word is quadratic in this.
  if (longest < 1 || longest > 10000) {
    return InvalidArgument("tokenizer.json: max_input_chars_per_word is " +
                           std::to_string(longest) + ", expected 1 to 10000");
  }
  parts->model = std::make_unique<WordPieceModel>(
      *parts->vocabulary,
      WordPieceModel::Options{.continuation_prefix = std::string(
                                  JsonText(model, "continuing_subword_prefix").value_or("##")),
                              .max_characters = static_cast<size_t>(longest),
                              .unknown_id = parts->unknown.value_or(kNoToken)});
  return OkStatus();
}

}  // namespace

Status MakeJsonModel(JsonValue model, bool byte_level, TokenizerParts* parts) {
  std::string_view type = JsonType(model);
  if (type.empty() && JsonMember(model, "merges")) type = "BPE";  // files of older versions
  if (const auto unknown = JsonText(model, "unk_token")) {
    const int32_t id = parts->vocabulary->FindAny(*unknown);
    if (id != kNoToken) parts->unknown = id;
  }
  if (type.empty() && JsonArray(model, "vocab")) type = "Unigram";
  if (type == "BPE") return MakeBpe(model, byte_level, parts);
  const bool has_pairs = JsonArray(model, "vocab").has_value();
  if (type == "Unigram" && has_pairs) return MakeUnigram(model, parts);
  if (type == "WordPiece" && !has_pairs) return MakeWordPiece(model, parts);
  return UnknownComponent("model", type);
}

}  // namespace pelton::tokenizer
