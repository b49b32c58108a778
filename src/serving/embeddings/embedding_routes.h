#pragma once

#include <memory>
#include <string>

#include "serving/api/route.h"
#include "serving/model/embedding_model.h"

namespace pelton {

// An encoder and the name under which clients ask for it. Borrows the model.
struct ServedEncoder {
  const EmbeddingModel* model = nullptr;  // null: none is served, which the routes then say
  std::string name;
};

// /v1/embeddings (OpenAI's), /v1/rerank (Jina's and Cohere's), /v1/score (vLLM's), all also without
// "/v1", and Ollama's /api/embed and /api/embeddings.
RouteSet EmbeddingRoutes(const ServedEncoder& encoder);

}  // namespace pelton
