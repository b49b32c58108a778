#pragma once

#include <vector>

#include "serving/api/route.h"
#include "serving/generate/answer_writer.h"
#include "serving/openai/generation_json.h"
#include "serving/openai/openai_request.h"

namespace pelton {

// Writes answers to chat/completions and completions, whole or as a stream of events. Errors before
// the stream began are answers of their own; later ones are an event after which the connection is
// closed.
class OpenAiWriter final : public AnswerWriter {
 public:
  OpenAiWriter(const LanguageModel& model, OpenAiForm form, ApiCall call);

  void Begin() override;
  void Delta(size_t index, const OutputDelta& delta, const TokenEvent* token) override;
  void ChoiceEnd(size_t index, const FinishEvent& event) override;
  void End(const GenerationUsage& usage) override;
  void Fail(const ApiError& error) override;

 private:
  struct Choice {
    ChoiceResult result;  // not of a stream
    size_t text_bytes = 0;
    bool begun = false;  // its first delta came
    bool called = false;
  };
  void Put(size_t index, bool first, const OutputDelta& delta, const Json& logprobs);
  void Send(std::string_view event);

  const OpenAiForm form_;
  const ApiCall call_;
  const GenerationJson json_;
  std::vector<Choice> choices_;
  bool streaming_ = false;
};

}  // namespace pelton
