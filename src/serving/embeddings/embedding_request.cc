#include "serving/embeddings/embedding_request.h"

#include <limits>
#include <utility>

#include "base/checked_math.h"

namespace pelton {
namespace {

constexpr const char* kInputs = "a text, a list of up to 2048 texts, of ids, or of lists of ids";

std::optional<std::vector<int32_t>> IdsOf(const Json& list) {
  std::vector<int32_t> ids;
  for (const Json& id : list) {
    if (!id.is_number_integer() || id < 0 || id > std::numeric_limits<int32_t>::max()) {
      return std::nullopt;
    }
    ids.push_back(id.get<int32_t>());
  }
  return ids;
}

// One of several inputs.
std::optional<TextOrIds> InputOf(const Json& item) {
  if (item.is_string()) return TextOrIds(item.get<std::string>());
  if (!item.is_array()) return std::nullopt;
  std::optional<std::vector<int32_t>> ids = IdsOf(item);
  if (!ids) return std::nullopt;
  return TextOrIds(*std::move(ids));
}

void ReadInputs(FieldReader& reader, const char* name, bool with_ids,
                std::vector<TextOrIds>* inputs) {
  const char* expected = with_ids ? kInputs : "a text or a list of up to 2048 texts";
  const Json* value = reader.Find(name);
  if (value == nullptr) return reader.Fail(name, expected);
  if (value->is_string()) return inputs->push_back(value->get<std::string>());
  if (!value->is_array() || value->empty()) return reader.Fail(name, expected);
  if (with_ids && value->front().is_number()) {
    std::optional<std::vector<int32_t>> ids = IdsOf(*value);
    if (!ids) return reader.Fail(name, expected);
    return inputs->push_back(*std::move(ids));
  }
  if (value->size() > kMaxInputs) return reader.Fail(name, expected);
  for (const Json& item : *value) {
    std::optional<TextOrIds> input = InputOf(item);
    if (!input || (!with_ids && !item.is_string())) return reader.Fail(name, expected);
    inputs->push_back(*std::move(input));
  }
}

void ReadTruncation(FieldReader& reader, std::optional<int64_t>* tokens) {
  reader.Whole("truncate_prompt_tokens", tokens);
  if (*tokens && **tokens < -1) reader.Fail("truncate_prompt_tokens", "-1 or a number of tokens");
  if (*tokens && **tokens == 0) reader.Fail("truncate_prompt_tokens", "-1 or a number of tokens");
}

// A text, or an object with a text, as rerankers take documents.
std::optional<std::string> DocumentOf(const Json& item) {
  if (item.is_string()) return item.get<std::string>();
  if (!item.is_object()) return std::nullopt;
  const auto text = item.find("text");
  if (text == item.end() || !text->is_string()) return std::nullopt;
  return text->get<std::string>();
}

}  // namespace

void ReadOpenAiEmbeddings(FieldReader& reader, EmbeddingsForm* form) {
  std::string ignored_user, format = "float";
  reader.String("model", &form->model);
  reader.String("user", &ignored_user);
  reader.String("encoding_format", &format);
  if (format != "float" && format != "base64") {
    reader.Fail("encoding_format", "\"float\" or \"base64\"");
  }
  form->base64 = format == "base64";
  reader.Whole("dimensions", &form->dimensions);
  ReadTruncation(reader, &form->truncate_tokens);
  ReadInputs(reader, "input", true, &form->inputs);
}

namespace {

void ReadOllamaFields(FieldReader& reader, EmbeddingsForm* form) {
  reader.String("model", &form->model);
  reader.Find("options");  // of generation; none counts here
  reader.Find("keep_alive");
}

}  // namespace

void ReadOllamaEmbed(FieldReader& reader, EmbeddingsForm* form) {
  ReadOllamaFields(reader, form);
  bool truncate = true;
  reader.Bool("truncate", &truncate);
  if (truncate) form->truncate_tokens = -1;
  reader.Whole("dimensions", &form->dimensions);
  ReadInputs(reader, "input", false, &form->inputs);
}

void ReadOllamaEmbeddings(FieldReader& reader, EmbeddingsForm* form) {
  ReadOllamaFields(reader, form);
  form->truncate_tokens = -1;
  form->one = true;
  std::string prompt;
  reader.String("prompt", &prompt);
  if (!reader.Has("prompt")) reader.Fail("prompt", "a text");
  form->inputs.emplace_back(std::move(prompt));
}

void ReadRerank(FieldReader& reader, RankForm* form) {
  constexpr const char* kDocuments = "a list of up to 2048 texts, or of objects with a \"text\"";
  reader.String("model", &form->model);
  std::string query;
  reader.String("query", &query);
  if (!reader.Has("query")) reader.Fail("query", "a text");
  form->first.push_back(std::move(query));
  reader.Whole("top_n", &form->top_n);
  if (form->top_n && *form->top_n < 1) reader.Fail("top_n", "at least 1");
  form->return_documents = true;  // as Jina answers
  reader.Bool("return_documents", &form->return_documents);
  ReadTruncation(reader, &form->truncate_tokens);
  const Json* documents = reader.Find("documents");
  if (documents == nullptr || !documents->is_array() || documents->empty() ||
      documents->size() > kMaxInputs) {
    return reader.Fail("documents", kDocuments);
  }
  for (const Json& item : *documents) {
    std::optional<std::string> text = DocumentOf(item);
    if (!text) return reader.Fail("documents", kDocuments);
    form->second.push_back(*std::move(text));
  }
}

void ReadScore(FieldReader& reader, RankForm* form) {
  reader.String("model", &form->model);
  reader.Strings("text_1", &form->first);
  reader.Strings("text_2", &form->second);
  ReadTruncation(reader, &form->truncate_tokens);
  if (form->first.empty()) reader.Fail("text_1", "a text or a list of texts");
  if (form->second.empty() || form->second.size() > kMaxInputs) {
    reader.Fail("text_2", "a text or a list of up to 2048 texts");
  }
  if (form->first.size() != 1 && form->first.size() != form->second.size()) {
    reader.Refuse("text_1", "text_1: found " + std::to_string(form->first.size()) +
                                " texts, expected one, or as many as text_2 has");
  }
}

}  // namespace pelton
