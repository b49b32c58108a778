#include "serving/responses/response_writer.h"

#include <gtest/gtest.h>

#include <random>

#include "net/http/local_exchange.h"
#include "serving/openai/openai_error.h"
#include "serving/tenant/admission.h"

namespace pelton {
namespace {

// Writes answers into a local exchange.
class ResponseWriterTest : public testing::Test {
 protected:
  ResponseForm Form(bool stream) {
    ResponseForm form{.model = "m", .stream = stream};
    form.items = Json::array({{{"id", "in"}, {"type", "message"}}});
    form.settings = {{"store", true}};
    return form;
  }

  // Begins another answer.
  std::unique_ptr<ResponseWriter> Write(const ResponseForm& form,
                                        std::shared_ptr<LocalExchange> run = nullptr) {
    auto request = std::make_shared<HttpRequest>();
    exchange_ = std::make_unique<LocalExchange>("id");
    ApiCall call{request, exchange_->TakeResponse(), &OpenAiErrorBody, ""};
    ApiError error;
    call.admission = Admission::Enter(tenant_, request, call.response, nullptr, &error);
    return std::make_unique<ResponseWriter>(nullptr, form, call, store_, std::move(run));
  }

  HttpAnswer Answer() {
    std::optional<HttpAnswer> answer = exchange_->Take();
    EXPECT_TRUE(answer);
    return answer.value_or(HttpAnswer());
  }

  // The events of a stream, out of HTTP's chunks.
  std::vector<Json> Events() {
    std::vector<Json> events;
    const std::string body = Answer().body;
    for (size_t at = body.find("data: "); at != std::string::npos; at = body.find("data: ", at)) {
      at += 6;
      events.push_back(Json::parse(body.substr(at, body.find('\n', at) - at)));
      EXPECT_EQ(events.back()["sequence_number"], events.size() - 1);
    }
    return events;
  }

  MetricRegistry metrics_;
  std::shared_ptr<ResponseStore> store_ =
      std::make_shared<ResponseStore>(ResponseStoreLimits(), metrics_);
  std::shared_ptr<Tenant> tenant_ =
      std::make_shared<Tenant>(TenantSpec{.name = "t"}, TenantMetrics(metrics_, "t"));
  std::unique_ptr<LocalExchange> exchange_;
};

OutputDelta Reasoning(const char* text) { return {.content = "", .reasoning = text, .calls = {}}; }
OutputDelta Content(const char* text) { return {.content = text, .reasoning = "", .calls = {}}; }
OutputDelta Call(size_t index, const char* name, const char* arguments) {
  return {.content = "",
          .reasoning = "",
          .calls = {{index, "call_" + std::to_string(index), name, arguments}}};
}

// Without what differs from answer to answer.
std::string Plain(Json output) {
  for (Json& item : output) item["id"] = "";
  return ToText(output);
}

TEST_F(ResponseWriterTest, WholeAndStreamedAreEqual) {
  const OutputDelta kinds[] = {Reasoning("r1"), Reasoning("r2"), Content("c1"),
                               Content("c2"),   OutputDelta(),   Call(0, "f", "{\"a\"")};
  std::minstd_rand random(5);
  for (int round = 0; round < 200; ++round) {
    std::vector<OutputDelta> deltas;
    for (size_t calls = 0; deltas.size() < random() % 12;) {
      OutputDelta delta = kinds[random() % std::size(kinds)];
      if (!delta.calls.empty()) {
        delta = Call(calls, "f", "{\"a\"");
        deltas.push_back(delta);
        delta = Call(calls++, "", ":1}");
      }
      deltas.push_back(delta);
    }
    const FinishEvent finish{.reason = round % 3 == 0 ? FinishReason::kLength : FinishReason::kStop,
                             .status = {}};
    std::string outputs[2];
    for (const bool stream : {false, true}) {
      const auto writer = Write(Form(stream));
      writer->Begin();
      for (const OutputDelta& delta : deltas) writer->Delta(0, delta, nullptr);
      writer->ChoiceEnd(0, finish);
      writer->End({.prompt_tokens = 3, .completion_tokens = 4, .reasoning_tokens = 2});
      if (!stream) {
        const Json body = Json::parse(Answer().body);
        outputs[0] = Plain(body["output"]);
        EXPECT_EQ(body["usage"]["output_tokens_details"]["reasoning_tokens"], 2);
        continue;
      }
      const std::vector<Json> events = Events();
      std::vector<std::string> texts;
      Json done = Json::array();
      for (const Json& event : events) {
        const std::string type = event["type"];
        if (type == "response.output_item.added") {
          EXPECT_EQ(event["output_index"], texts.size());
          texts.emplace_back();
        }
        if (type.ends_with(".delta")) texts.back() += event["delta"];
        if (type == "response.output_item.done") done.push_back(event["item"]);
      }
      const Json& last = events.back()["response"];
      EXPECT_EQ(events.back()["type"], "response." + last["status"].get<std::string>());
      EXPECT_EQ(last["status"],
                finish.reason == FinishReason::kLength ? "incomplete" : "completed");
      EXPECT_EQ(done, last["output"]);
      outputs[1] = Plain(last["output"]);
      ASSERT_EQ(texts.size(), done.size());
      for (size_t i = 0; i < texts.size(); ++i) {
        EXPECT_EQ(texts[i], done[i]["type"] == "function_call"
                                ? done[i]["arguments"].get<std::string>()
                                : done[i]["content"][0]["text"].get<std::string>());
      }
      EXPECT_EQ(store_->Find(tenant_->identity(), last["id"])->body, ToText(last));
    }
    EXPECT_EQ(outputs[0], outputs[1]);
  }
}

TEST_F(ResponseWriterTest, AnEmptyAnswerIsAnEmptyMessage) {
  const auto writer = Write(Form(false));
  writer->Begin();
  writer->ChoiceEnd(0, {.reason = FinishReason::kStop, .status = {}});
  writer->End({});
  const Json body = Json::parse(Answer().body);
  ASSERT_EQ(body["output"].size(), 1u);
  EXPECT_EQ(body["output"][0]["content"][0]["text"], "");
  EXPECT_EQ(body["store"], true);
}

TEST_F(ResponseWriterTest, FailuresSaySo) {
  const auto early = Write(Form(true));
  early->Fail({.status = 503, .message = "full"});
  EXPECT_EQ(Answer().status, 503);
  const auto whole = Write(Form(false));
  whole->Begin();
  whole->Fail({.status = 500, .message = "broken"});
  EXPECT_EQ(Answer().status, 500);
  const auto stream = Write(Form(true));
  stream->Begin();
  stream->Delta(0, Content("half"), nullptr);
  stream->Fail({.status = 500, .message = "broken"});
  const std::vector<Json> events = Events();
  const Json& last = events.back();
  EXPECT_EQ(last["type"], "response.failed");
  EXPECT_EQ(last["response"]["status"], "failed");
  EXPECT_EQ(last["response"]["error"]["code"], "server_error");
  EXPECT_EQ(last["response"]["output"][0]["status"], "incomplete");
}

TEST_F(ResponseWriterTest, InTheBackgroundTheStoreHasIt) {
  ResponseForm form = Form(false);
  form.background = true;
  int cancelled = 0;
  auto run = std::make_shared<LocalExchange>("run");
  const std::shared_ptr<HttpResponse> response = run->TakeResponse();
  response->OnClose([&] { ++cancelled; });
  auto writer = Write(form, std::move(run));
  writer->Begin();
  const Json made = Json::parse(Answer().body);
  EXPECT_EQ(made["status"], "in_progress");
  const std::string id = made["id"];
  EXPECT_EQ(store_->Find(tenant_->identity(), id)->body, ToText(made));
  writer->Delta(0, Content("a"), nullptr);
  writer->ChoiceEnd(0, {.reason = FinishReason::kStop, .status = {}});
  writer->End({});
  const Json ended = Json::parse(store_->Find(tenant_->identity(), id)->body);
  EXPECT_EQ(ended["status"], "completed");
  EXPECT_EQ(ended["output"][0]["content"][0]["text"], "a");
  EXPECT_FALSE(store_->Find(tenant_->identity(), id)->cancel);
  EXPECT_EQ(cancelled, 0);
  writer.reset();
  // One that is deleted ends.
  run = std::make_shared<LocalExchange>("run");
  const std::shared_ptr<HttpResponse> second = run->TakeResponse();
  second->OnClose([&] { ++cancelled; });
  cancelled = 0;
  writer = Write(form, std::move(run));
  writer->Begin();
  const std::string other = Json::parse(Answer().body)["id"];
  EXPECT_TRUE(store_->Erase(tenant_->identity(), other));
  EXPECT_EQ(cancelled, 1);
  writer->End({});
  EXPECT_EQ(store_->Find(tenant_->identity(), other), nullptr);
}

}  // namespace
}  // namespace pelton
