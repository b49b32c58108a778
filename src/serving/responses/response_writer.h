#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "net/http/local_exchange.h"
#include "serving/api/route.h"
#include "serving/generate/answer_writer.h"
#include "serving/request/field_reader.h"
#include "serving/responses/response_fields.h"
#include "serving/responses/response_store.h"
#include "text/tokenizer/tokenizer.h"

namespace pelton {

// Writes the answer to /v1/responses: one object, the events that lead to it, or, in the
// background, the object that the store has at the time; and stores it if it shall be. Errors
// before the answer began are answers of their own. A stream that fails later ends with
// response.failed.
class ResponseWriter final : public AnswerWriter {
 public:
  // `run` stands in for the client of a generation in the background, and is null for others.
  // Borrows the tokenizer, which may be null where no log-probabilities come.
  ResponseWriter(const Tokenizer* tokenizer, const ResponseForm& form, ApiCall call,
                 std::shared_ptr<ResponseStore> store, std::shared_ptr<LocalExchange> run);

  void Begin() override;
  void Delta(size_t index, const OutputDelta& delta, const TokenEvent* token) override;
  void ChoiceEnd(size_t index, const FinishEvent& event) override;
  void End(const GenerationUsage& usage) override;
  void Fail(const ApiError& error) override;

 private:
  enum class Item : uint8_t { kNone, kReasoning, kMessage, kCall };

  std::string Body(std::string_view status, const Json& error, const Json& usage) const;
  Json Part() const;
  void Open(Item kind, Json item);
  void Append(std::string_view text);
  void Close(const char* status);
  void Keep(std::string body);
  void Emit(const char* type, const Json& fields);
  void EmitResponse(const char* type, const std::string& body);
  void Send(std::string_view type, std::string_view event);

  const Tokenizer* const tokenizer_;
  const std::string id_;
  const int64_t created_;
  const std::string model_name_;
  const bool stream_;
  const bool store_asked_;
  const std::string previous_id_;
  // Texts made beforehand: they may be large, and the engine's thread has no time.
  const std::string settings_;
  std::string input_;
  const std::string tenant_;
  const ApiCall call_;
  const std::shared_ptr<ResponseStore> store_;
  // Lives as long as the generation: its end is the client's leaving, which the store must not
  // bring about while an answer is written.
  const std::shared_ptr<LocalExchange> run_;
  const bool background_;

  Json output_ = Json::array();  // items that are whole
  std::vector<std::string> item_ids_;
  Item open_ = Item::kNone;  // of the item that may grow
  Json item_;                // that one, its text left out
  std::string text_;         // that
  Json logprobs_ = Json::array();
  Json undecided_logprobs_ = Json::array();  // of tokens whose text has not come yet
  bool begun_ = false;
  bool cut_ = false;
  uint64_t sequence_ = 0;
};

}  // namespace pelton
