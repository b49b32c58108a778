#pragma once

#include "serving/api/route.h"

namespace pelton {

// /v1/embeddings (OpenAI's), /v1/rerank (Jina's and Cohere's), /v1/score (vLLM's), all also without
// "/v1", and Ollama's /api/embed and /api/embeddings.
RouteSet EmbeddingRoutes();

}  // namespace pelton
