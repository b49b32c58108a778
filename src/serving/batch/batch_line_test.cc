#include "serving/batch/batch_line.h"

#include <gtest/gtest.h>

#include "serving/batch/batch.h"

namespace pelton {
namespace {

constexpr const char* kChatPath = "/v1/chat/completions";

std::string Failure(std::string_view text) {
  BatchLine line;
  const auto error = ReadBatchLine(text, kChatPath, &line);
  return error ? error->param : "none";
}

std::string Line(const std::string& id) {
  return R"({"custom_id":")" + id + R"(","method":"POST","url":"/v1/chat/completions","body":{}})";
}

TEST(BatchLine, IsRead) {
  BatchLine line;
  ASSERT_FALSE(ReadBatchLine(R"({"custom_id":"a","method":"POST","url":"/v1/chat/completions",
                                 "body":{"model":"m","messages":[{"role":"user"}]}})",
                             kChatPath, &line));
  EXPECT_EQ(line.custom_id, "a");
  EXPECT_EQ(line.body, R"({"model":"m","messages":[{"role":"user"}]})");
  EXPECT_EQ(Failure(Line("a")), "none");
  EXPECT_EQ(Failure("{"), "");
  EXPECT_EQ(Failure("[]"), "");
  EXPECT_EQ(Failure(Line("")), "custom_id");
  EXPECT_EQ(Failure(Line(std::string(513, 'x'))), "custom_id");
  EXPECT_EQ(Failure(R"({"custom_id":"a","method":"GET","url":"/v1/chat/completions","body":{}})"),
            "method");
  EXPECT_EQ(Failure(R"({"custom_id":"a","method":"POST","url":"/v1/embeddings","body":{}})"),
            "url");
  EXPECT_EQ(Failure(R"({"custom_id":"a","method":"POST","url":"/v1/chat/completions"})"), "body");
  EXPECT_EQ(Failure(R"({"custom_id":"a","method":"POST","url":"/v1/chat/completions",
                        "body":{"stream":true}})"),
            "body.stream");
  EXPECT_EQ(Failure(R"({"custom_id":"a","method":"POST","url":"/v1/chat/completions","body":{},
                        "more":1})"),
            "more");
}

TEST(CheckBatchInput, FindsTheLines) {
  const std::string text = Line("a") + "\r\n\n" + Line("b");
  std::vector<LineSpan> lines;
  EXPECT_TRUE(CheckBatchInput(text, kChatPath, &lines).empty());
  ASSERT_EQ(lines.size(), 2u);
  EXPECT_EQ(text.substr(lines[1].offset, lines[1].bytes), Line("b"));
}

TEST(CheckBatchInput, NamesTheLinesThatAreWrong) {
  std::vector<LineSpan> lines;
  const auto problems =
      CheckBatchInput(Line("a") + "\nx\n\n" + Line("a") + "\n", kChatPath, &lines);
  ASSERT_EQ(problems.size(), 2u);
  EXPECT_EQ(problems[0].line, 2u);
  EXPECT_EQ(problems[1].line, 4u);
  EXPECT_EQ(problems[1].code, "duplicate_custom_id");
  lines.clear();
  EXPECT_EQ(CheckBatchInput(" \n\n", kChatPath, &lines)[0].code, "empty_file");
  std::string many;
  for (int i = 0; i < 300; ++i) many += "x\n";
  EXPECT_EQ(CheckBatchInput(many, kChatPath, &lines).size(), 100u);
  many.clear();
  for (size_t i = 0; i <= kMaxBatchLines; ++i) many += Line(std::to_string(i)) + "\n";
  lines.clear();
  EXPECT_EQ(CheckBatchInput(many, kChatPath, &lines)[0].code, "too_many_requests");
}

TEST(BatchLine, AnswersAreLines) {
  EXPECT_EQ(AnswerLine("r", "a\"b", 200, R"({"x":1})"),
            R"({"id":"r","custom_id":"a\"b","response":{"status_code":200,"request_id":"r",)"
            R"("body":{"x":1}},"error":null})"
            "\n");
  EXPECT_EQ(CustomIdOf(AnswerLine("r", "a\"b", 200, "{}")), "a\"b");
  EXPECT_EQ(CustomIdOf(UnrunLine("r", "c", "batch_expired", "late")), "c");
  EXPECT_FALSE(CustomIdOf(R"({"custom_id":)"));
  EXPECT_FALSE(CustomIdOf(R"({"custom_id":5})"));
}

TEST(Batch, ComesBackFromItsRecord) {
  Batch batch{.id = "batch_1", .tenant = "t", .endpoint = kChatPath, .input_file = "file-1"};
  batch.created_at = 5;
  batch.expires_at = 9;
  batch.Reach(BatchState::kInProgress, 6);
  batch.Reach(BatchState::kFailed, 7);
  batch.problems = {{"code", "message", "param", 3}, {"code", "message", "", {}}};
  batch.metadata = {{"a", "b"}};
  batch.output_seconds = 3600;
  const auto again = BatchOfRecord("batch_1", BatchRecord(batch));
  ASSERT_TRUE(again);
  EXPECT_EQ(BatchJson(*again), BatchJson(batch));
  EXPECT_EQ(BatchRecord(*again), BatchRecord(batch));
  EXPECT_EQ(BatchJson(batch)["errors"]["data"][0]["line"], 3);
  EXPECT_FALSE(BatchOfRecord("batch_1", Json::object()));
  Json damaged = BatchRecord(batch);
  damaged["state"] = "dreaming";
  EXPECT_FALSE(BatchOfRecord("batch_1", damaged));
}

}  // namespace
}  // namespace pelton
