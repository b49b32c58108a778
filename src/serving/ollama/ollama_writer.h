#pragma once

#include <string>

#include "serving/api/route.h"
#include "serving/generate/answer_text.h"
#include "serving/generate/answer_writer.h"
#include "serving/ollama/ollama_request.h"

namespace pelton {

// Writes answers to /api/chat and /api/generate: one object, or one a line. Errors after the stream
// began are a line of their own, and the connection is closed.
class OllamaWriter final : public AnswerWriter {
 public:
  // Takes what it needs of `request`, whose model is the name to state.
  OllamaWriter(const OllamaRequest& request, ApiCall call);

  void Begin() override;
  void Delta(size_t index, const OutputDelta& delta, const TokenEvent* token) override;
  void ChoiceEnd(size_t index, const FinishEvent& event) override;
  void End(const GenerationUsage& usage) override;
  void Fail(const ApiError& error) override;

  // The answer to a request that asks for nothing: the model is in memory now, or is to go.
  void AnswerLoaded(bool stays = true);

 private:
  Json Part(const AnswerText& text) const;
  void SendLine(const Json& line);

  const bool chat_;
  const bool stream_;
  const bool show_thinking_;
  const std::string model_;
  const ApiCall call_;
  AnswerText text_;  // of an answer that is not a stream
  Json end_;         // the last object's fields about the end
  bool streaming_ = false;
};

// The time now as Ollama writes it.
std::string OllamaTime();

}  // namespace pelton
