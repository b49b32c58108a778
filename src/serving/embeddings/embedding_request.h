#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <variant>
#include <vector>

#include "base/status.h"
#include "serving/request/field_reader.h"

namespace pelton {

inline constexpr size_t kMaxInputs = 2048;  // texts of one request, as OpenAI allows

// A text, or the ids of one.
using TextOrIds = std::variant<std::string, std::vector<int32_t>>;

// A request for embeddings, before the model is looked at.
struct EmbeddingsForm {
  std::string model;  // empty: not named
  std::vector<TextOrIds> inputs;
  bool base64 = false;
  std::optional<int64_t> dimensions;
  std::optional<int64_t> truncate_tokens;  // -1: to what the model allows
  bool one = false;                        // Ollama's older form: one text, one embedding
};

// OpenAI's /v1/embeddings: input as a text, a list of texts, of ids, or of lists of ids.
void ReadOpenAiEmbeddings(FieldReader& reader, EmbeddingsForm* form);
// Ollama's /api/embed (input) and /api/embeddings (prompt).
void ReadOllamaEmbed(FieldReader& reader, EmbeddingsForm* form);
void ReadOllamaEmbeddings(FieldReader& reader, EmbeddingsForm* form);

// A request to compare texts in pairs.
struct RankForm {
  std::string model;
  std::vector<std::string> first;   // one for all, or as many as second
  std::vector<std::string> second;  // the documents
  std::optional<int64_t> top_n;
  bool return_documents = false;
  std::optional<int64_t> truncate_tokens;
};

// Jina's and Cohere's /v1/rerank: query, documents (texts, or objects with a text).
void ReadRerank(FieldReader& reader, RankForm* form);
// vLLM's /v1/score: text_1 and text_2, texts or lists of them.
void ReadScore(FieldReader& reader, RankForm* form);

}  // namespace pelton
