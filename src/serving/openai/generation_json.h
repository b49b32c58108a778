#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "runtime/engine/request.h"
#include "serving/generate/answer_text.h"
#include "serving/generate/answer_writer.h"
#include "serving/model/language_model.h"
#include "serving/request/field_reader.h"

namespace pelton {

// What one answer came to.
struct ChoiceResult {
  AnswerText text;
  Json logprobs = nullptr;
  std::string finish_reason;
};

// The texts of an answer, for chat/completions and completions alike. Immutable; any thread.
class GenerationJson {
 public:
  GenerationJson(const LanguageModel& model, bool chat, std::string_view model_name);

  // A chunk of a stream. `delta` is the delta of a chat; `text` a completion's piece.
  std::string Chunk(size_t index, const Json& delta, std::string_view text, const Json& logprobs,
                    std::string_view finish_reason) const;
  // The chunk with the usage, without choices.
  std::string UsageChunk(const GenerationUsage& usage) const;
  // The whole answer.
  std::string Whole(const std::vector<ChoiceResult>& choices, const GenerationUsage& usage) const;

  // The log-probabilities of one token: an entry of a chat's "content"; appended to a completion's
  // lists. `offset` is the token's place in the text.
  void AddLogprob(const TokenEvent& event, size_t offset, Json* logprobs) const;

 private:
  Json Head(std::string_view object) const;

  const LanguageModel& model_;
  const bool chat_;
  const std::string id_;
  const int64_t created_;
  const std::string model_name_;
  std::string chunk_head_;  // of every chunk, up to the index
};

}  // namespace pelton
