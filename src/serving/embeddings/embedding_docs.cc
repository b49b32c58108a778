#include "serving/embeddings/embedding_docs.h"

namespace pelton {
namespace {

constexpr FieldDocs kModel[] = {{"model", R"({"type":"string"})", "the encoder's name"}};
constexpr FieldDocs kTruncate[] = {{"truncate_prompt_tokens", R"({"type":"integer","minimum":-1})",
                                    "cuts texts to so many tokens; -1: to what the model reads"}};

constexpr FieldDocs kOpenAi[] = {
    {"input", R"({"type":["string","array"],"minItems":1})",
     "a text, several, token ids, or lists of token ids", true},
    {"user", R"({"type":"string"})", "changes nothing"},
    {"encoding_format", R"({"enum":["float","base64"]})"},
    {"dimensions", R"({"type":"integer"})"},
};

constexpr FieldDocs kOllama[] = {
    {"options", "{}", "changes nothing"},
    {"keep_alive", "{}", "changes nothing"},
};
constexpr FieldDocs kOllamaEmbed[] = {
    {"input", R"({"type":["string","array"],"minItems":1,"items":{"type":"string"}})", "", true},
    {"truncate", R"({"type":"boolean"})"},
    {"dimensions", R"({"type":"integer"})"},
};
constexpr FieldDocs kOllamaEmbeddings[] = {{"prompt", R"({"type":"string"})", "", true}};

constexpr FieldDocs kRerank[] = {
    {"query", R"({"type":"string"})", "", true},
    {"documents", R"({"type":"array","minItems":1,"items":{"type":["string","object"]}})", "",
     true},
    {"top_n", R"({"type":"integer","minimum":1})"},
    {"return_documents", R"({"type":"boolean"})"},
};

constexpr FieldDocs kScore[] = {
    {"text_1", R"({"type":["string","array"],"items":{"type":"string"}})", "", true},
    {"text_2", R"({"type":["string","array"],"items":{"type":"string"}})", "", true},
};

}  // namespace

std::vector<RouteDocs> EmbeddingDocs() {
  return {{.method = "POST",
           .path = "/embeddings",
           .summary = "Vectors of texts",
           .body = {kModel, kOpenAi, kTruncate},
           .answer = R"({"type":"object","required":["object","data","model","usage"]})"},
          {.method = "POST",
           .path = "/rerank",
           .summary = "Documents by nearness to a query",
           .body = {kModel, kRerank, kTruncate},
           .answer = R"({"type":"object","required":["results"]})"},
          {.method = "POST",
           .path = "/score",
           .summary = "How near pairs of texts are",
           .body = {kModel, kScore, kTruncate},
           .answer = R"({"type":"object","required":["data"]})"},
          {.method = "POST",
           .path = "/api/embed",
           .summary = "Vectors of texts, as Ollama's interface gives them",
           .body = {kModel, kOllama, kOllamaEmbed},
           .answer = R"({"type":"object","required":["embeddings"]})"},
          {.method = "POST",
           .path = "/api/embeddings",
           .summary = "The vector of a text",
           .body = {kModel, kOllama, kOllamaEmbeddings},
           .answer = R"({"type":"object","required":["embedding"]})"}};
}

}  // namespace pelton
