#include "text/tokenizer/bpe_model.h"
#include "text/tokenizer/byte_alphabet.h"
#include "text/tokenizer/json_parts.h"

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

}  // namespace

Status MakeJsonModel(JsonValue model, bool byte_level, TokenizerParts* parts) {
  std::string_view type = JsonType(model);
  if (type.empty() && JsonMember(model, "merges")) type = "BPE";  // files of older versions
  if (const auto unknown = JsonText(model, "unk_token")) {
    const int32_t id = parts->vocabulary->FindAny(*unknown);
    if (id != kNoToken) parts->unknown = id;
  }
  if (type == "BPE") return MakeBpe(model, byte_level, parts);
  return UnknownComponent("model", type);
}

}  // namespace pelton::tokenizer
