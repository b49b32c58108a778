
#include "text/tokenizer/byte_alphabet.h"
#include "text/tokenizer/json_parts.h"

namespace pelton::tokenizer {

namespace {

struct Entry {
  std::string_view text;
  TokenKind kind = TokenKind::kHole;
};

// Entries by id. Few ids may be unused, so that a small file cannot ask for much memory.
class Entries {
 public:
  explicit Entries(size_t count) : limit_(count * 2 + 65536) {}

  Status Set(int64_t id, std::string_view text, TokenKind kind) {
    if (id < 0 || static_cast<uint64_t>(id) >= limit_) {
      return InvalidArgument("tokenizer.json: token \"" + std::string(text.substr(0, 64)) +
                             "\" has id " + std::to_string(id) + ", expected less than " +
                             std::to_string(limit_));
    }
    const auto index = static_cast<size_t>(id);
    if (index >= entries_.size()) entries_.resize(index + 1);
    entries_[index] = {text, kind};
    return OkStatus();
  }
  const std::vector<Entry>& all() const { return entries_; }

 private:
  size_t limit_;
  std::vector<Entry> entries_;
};

Status ReadModelVocabulary(JsonValue model, Entries* entries) {
  if (const auto vocab = JsonObject(model, "vocab")) {
    for (const auto [text, value] : *vocab) {
      const std::optional<int64_t> id = JsonInteger(value);
      if (!id) {
        return InvalidArgument("tokenizer.json: the id of \"" + std::string(text.substr(0, 64)) +
                               "\" is no integer");
      }
      RETURN_IF_ERROR(entries->Set(*id, text, TokenKind::kNormal));
    }
    return OkStatus();
  }
  const auto vocab = JsonArray(model, "vocab");  // unigram: pairs of text and score
  if (!vocab) return InvalidArgument("tokenizer.json: the model has no vocab");
  int64_t id = 0;
  for (const JsonValue pair : *vocab) {
    JsonValue first;
    const bool found = pair.at(0).get(first) == simdjson::SUCCESS;
    const std::optional<std::string_view> text = found ? JsonText(first) : std::nullopt;
    if (!text) {
      return InvalidArgument("tokenizer.json: vocab[" + std::to_string(id) +
                             "] is not a pair of text and score");
    }
    RETURN_IF_ERROR(entries->Set(id++, *text, TokenKind::kNormal));
  }
  return OkStatus();
}

size_t CountEntries(JsonValue json) {
  size_t count = 0;
  if (const auto model = JsonMember(json, "model")) {
    if (const auto vocab = JsonObject(*model, "vocab")) count += vocab->size();
    if (const auto vocab = JsonArray(*model, "vocab")) count += vocab->size();
  }
  if (const auto added = JsonArray(json, "added_tokens")) count += added->size();
  return count;
}

}  // namespace

Result<std::unique_ptr<Vocabulary>> VocabularyFromJson(JsonValue json, const PieceDecoder& decoder,
                                                       bool byte_level) {
  Entries entries(CountEntries(json));
  const auto model = JsonMember(json, "model");
  if (!model) return InvalidArgument("tokenizer.json has no model");
  RETURN_IF_ERROR(ReadModelVocabulary(*model, &entries));
  if (const auto added = JsonArray(json, "added_tokens")) {
    for (const JsonValue token : *added) {
      const auto id = JsonInteger(token, "id");
      const auto content = JsonText(token, "content");
      if (!id || !content) {
        return InvalidArgument("tokenizer.json: an added token has no id or no content");
      }
      const bool special = JsonFlag(token, "special", false);
      RETURN_IF_ERROR(
          entries.Set(*id, *content, special ? TokenKind::kControl : TokenKind::kUserDefined));
    }
  }
  auto vocabulary = std::make_unique<Vocabulary>();
  size_t bytes = 0;
  for (const Entry& entry : entries.all()) bytes += entry.text.size();
  vocabulary->Reserve(entries.all().size(), bytes);
  std::string raw;
  std::string piece;
  for (const Entry& entry : entries.all()) {
    raw.clear();
    piece.clear();
    TokenKind kind = entry.kind;
    if (kind == TokenKind::kNormal) {
      bool is_byte = false;
      decoder.Decode(entry.text, &piece, &is_byte);
      if (is_byte) kind = TokenKind::kByte;
      if (!byte_level || !AppendBytesOf(entry.text, &raw)) raw = entry.text;
    } else {
      raw = entry.text;
      decoder.DecodeAdded(entry.text, &piece);
    }
    vocabulary->Append(raw, piece, kind);
  }
  vocabulary->BuildIndex();
  return vocabulary;
}

Status AddJsonAddedTokens(JsonValue json, TokenizerParts* parts) {
  const auto added = JsonArray(json, "added_tokens");
  if (!added) return OkStatus();
  for (const JsonValue token : *added) {
    const std::string_view content = *JsonText(token, "content");
    if (content.empty()) continue;
    const AddedToken made = {.id = static_cast<int32_t>(*JsonInteger(token, "id")),
                             .special = JsonFlag(token, "special", false),
                             .strip_left = JsonFlag(token, "lstrip", false),
                             .strip_right = JsonFlag(token, "rstrip", false),
                             .single_word = JsonFlag(token, "single_word", false)};
    const bool normalized = JsonFlag(token, "normalized", !made.special);
    std::string storage;
    const std::string_view text = normalized ? parts->normalizer.Apply(content, &storage) : content;
    AddedTokens& tokens = normalized ? parts->added_normalized : parts->added;
    if (!tokens.Add(text, made)) {
      return InvalidArgument("tokenizer.json: added token " + std::to_string(made.id) + " has " +
                             std::to_string(text.size()) + " bytes, expected 1 to " +
                             std::to_string(AddedTokens::kMaxBytes));
    }
  }
  return OkStatus();
}

}  // namespace pelton::tokenizer
