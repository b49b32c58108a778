#pragma once

#include <cstddef>
#include <functional>
#include <string>
#include <string_view>
#include <vector>

#include "base/status.h"
#include "serving/embeddings/embedding_request.h"
#include "serving/model/embedding_model.h"

namespace pelton {

// The engine's work for a request to compare pairs: the pairs themselves for a cross-encoder, else
// every text once. `done` is left empty.
Result<EmbeddingRequest> WorkForPairs(const EmbeddingModel& model, const RankForm& form,
                                      size_t truncate_tokens);

// A score for each text of form.second: a cross-encoder's logistic score, else the cosine of the
// two embeddings. Requires: `result` is that of WorkForPairs.
std::vector<double> ScoresOfPairs(const EmbeddingModel& model, const RankForm& form,
                                  const EmbeddingResult& result);

// Jina's and Cohere's answer, best first, and vLLM's.
std::string RerankJson(const RankForm& form, const std::vector<double>& scores,
                       std::string_view model, size_t tokens);
std::string ScoreJson(const std::vector<double>& scores, std::string_view model, size_t tokens);

}  // namespace pelton
