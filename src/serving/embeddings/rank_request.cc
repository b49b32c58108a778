#include "serving/embeddings/rank_request.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <numeric>

namespace pelton {

Result<EmbeddingRequest> WorkForPairs(const EmbeddingModel& model, const RankForm& form,
                                      size_t truncate_tokens) {
  EmbeddingRequest work;
  if (model.cross_encoder()) {
    if (model.files.config.classes != 1) {
      return InvalidArgument(
          fmt::format("the model gives {} numbers for a pair, expected one to rank by",
                      model.files.config.classes));
    }
    work.pooling = Pooling::kFirst;
    work.normalize = false;
    for (size_t i = 0; i < form.second.size(); ++i) {
      ASSIGN_OR_RETURN(EmbeddingInput input,
                       model.EncodePair(form.first[form.first.size() == 1 ? 0 : i], form.second[i],
                                        truncate_tokens));
      work.inputs.push_back(std::move(input));
    }
    return work;
  }
  work.pooling = model.pooling;
  for (const std::vector<std::string>* texts : {&form.first, &form.second}) {
    for (const std::string& text : *texts) {
      ASSIGN_OR_RETURN(EmbeddingInput input, model.Encode(text, truncate_tokens));
      work.inputs.push_back(std::move(input));
    }
  }
  return work;
}

std::vector<double> ScoresOfPairs(const EmbeddingModel& model, const RankForm& form,
                                  const EmbeddingResult& result) {
  std::vector<double> scores;
  scores.reserve(form.second.size());
  const auto vector = [&](size_t i) {
    return std::span(result.values).subspan(i * result.width, result.width);
  };
  for (size_t i = 0; i < form.second.size(); ++i) {
    scores.push_back(model.cross_encoder() ? 1 / (1 + std::exp(-double{result.values[i]}))
                                           : Cosine(vector(form.first.size() == 1 ? 0 : i),
                                                    vector(form.first.size() + i)));
  }
  return scores;
}

std::string RerankJson(const RankForm& form, const std::vector<double>& scores,
                       std::string_view model, size_t tokens) {
  std::vector<size_t> order(scores.size());
  std::iota(order.begin(), order.end(), size_t{0});
  std::sort(order.begin(), order.end(), [&](size_t a, size_t b) {
    return scores[a] != scores[b] ? scores[a] > scores[b] : a < b;
  });
  if (form.top_n) order.resize(std::min(order.size(), static_cast<size_t>(*form.top_n)));
  Json results = Json::array();
  for (const size_t i : order) {
    Json entry = {{"index", i}, {"relevance_score", scores[i]}};
    if (form.return_documents) entry["document"] = {{"text", form.second[i]}};
    results.push_back(std::move(entry));
  }
  return ToText({{"model", model},
                 {"results", std::move(results)},
                 {"usage", {{"prompt_tokens", tokens}, {"total_tokens", tokens}}}});
}

std::string ScoreJson(const std::vector<double>& scores, std::string_view model, size_t tokens) {
  Json data = Json::array();
  for (size_t i = 0; i < scores.size(); ++i) {
    data.push_back({{"index", i}, {"object", "score"}, {"score", scores[i]}});
  }
  return ToText({{"object", "list"},
                 {"data", std::move(data)},
                 {"model", model},
                 {"usage", {{"prompt_tokens", tokens}, {"total_tokens", tokens}}}});
}

}  // namespace pelton
