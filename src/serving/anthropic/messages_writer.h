#pragma once

#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "serving/anthropic/messages_request.h"
#include "serving/api/route.h"
#include "serving/generate/answer_writer.h"
#include "serving/request/field_reader.h"

namespace pelton {

// Writes the answer to /v1/messages: one message, or its blocks as events from message_start to
// message_stop. Errors before the stream began are answers of their own; later ones are an event
// after which the connection is closed.
class MessagesWriter final : public AnswerWriter {
 public:
  // Takes what it needs of `request`, whose model is the name to state.
  MessagesWriter(const MessagesRequest& request, ApiCall call);

  void Begin() override;
  void Delta(size_t index, const OutputDelta& delta, const TokenEvent* token) override;
  void ChoiceEnd(size_t index, const FinishEvent& event) override;
  void End(const GenerationUsage& usage) override;
  void Fail(const ApiError& error) override;

 private:
  enum class Block { kNone, kThinking, kText, kToolUse };

  Json Message() const;
  void Open(Block type, Json block);
  void Append(std::string_view text);
  void Close();
  void Send(const Json& event);

  const bool stream_;
  const bool show_thinking_;
  const std::string model_;
  const std::string id_;
  const std::vector<std::string> stop_sequences_;
  const std::optional<uint32_t> max_tokens_;
  const size_t prompt_tokens_;
  const ApiCall call_;

  Json content_ = Json::array();  // blocks so far; of a stream only the number of them is true
  Block open_ = Block::kNone;     // the last block, which may grow
  std::string text_;              // of the open block
  bool streaming_ = false;
  bool called_ = false;
  std::string stop_reason_;
  Json stop_sequence_ = nullptr;
};

}  // namespace pelton
