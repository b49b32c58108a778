#include "serving/embeddings/embedding_request.h"

#include <gtest/gtest.h>

#include "serving/embeddings/embedding_json.h"

namespace pelton {
namespace {

template <typename Form>
std::string Refused(const std::string& text, void (*read)(FieldReader&, Form*)) {
  const Result<Json> json = ParseJson(text);
  EXPECT_TRUE(json.ok()) << text;
  FieldReader reader(*json);
  Form form;
  read(reader, &form);
  reader.RefuseUnknown();
  return reader.ok() ? "accepted" : std::string(reader.status().message());
}

EmbeddingsForm Read(const std::string& text) {
  const Result<Json> json = ParseJson(text);
  FieldReader reader(*json);
  EmbeddingsForm form;
  ReadOpenAiEmbeddings(reader, &form);
  EXPECT_TRUE(reader.ok()) << reader.status().message();
  return form;
}

TEST(EmbeddingRequestTest, InputsOfEveryForm) {
  EXPECT_EQ(std::get<std::string>(Read(R"({"input":"a"})").inputs.at(0)), "a");
  EXPECT_EQ(Read(R"({"input":["a","b"]})").inputs.size(), 2u);
  const EmbeddingsForm ids = Read(R"({"input":[1,2,3]})");
  ASSERT_EQ(ids.inputs.size(), 1u);
  EXPECT_EQ(std::get<std::vector<int32_t>>(ids.inputs[0]), (std::vector<int32_t>{1, 2, 3}));
  const EmbeddingsForm lists = Read(R"({"input":[[1],[2,3]],"encoding_format":"base64"})");
  EXPECT_EQ(std::get<std::vector<int32_t>>(lists.inputs.at(1)), (std::vector<int32_t>{2, 3}));
  EXPECT_TRUE(lists.base64);
  for (const char* bad :
       {R"({})", R"({"input":[]})", R"({"input":5})", R"({"input":[1,"a"]})",
        R"({"input":["a",1]})", R"({"input":[-1]})", R"({"input":[[1.5]]})",
        R"({"input":"a","encoding_format":"int8"})", R"({"input":"a","inputs":"b"})",
        R"({"input":"a","truncate_prompt_tokens":0})"}) {
    EXPECT_NE(Refused(bad, &ReadOpenAiEmbeddings), "accepted") << bad;
  }
}

TEST(EmbeddingRequestTest, PairsOfEveryForm) {
  EXPECT_EQ(Refused(R"({"query":"q","documents":["a",{"text":"b"}],"top_n":1})", &ReadRerank),
            "accepted");
  EXPECT_EQ(Refused(R"({"text_1":"q","text_2":["a","b"]})", &ReadScore), "accepted");
  EXPECT_EQ(Refused(R"({"text_1":["q","r"],"text_2":["a","b"]})", &ReadScore), "accepted");
  EXPECT_EQ(Refused(R"({"text_1":["q","r"],"text_2":["a","b","c"]})", &ReadScore),
            "text_1: found 2 texts, expected one, or as many as text_2 has");
  for (const char* bad : {R"({"documents":["a"]})", R"({"query":"q","documents":[]})",
                          R"({"query":"q","documents":[{"title":"b"}]})",
                          R"({"query":"q","documents":["a"],"top_n":0})"}) {
    EXPECT_NE(Refused(bad, &ReadRerank), "accepted") << bad;
  }
}

TEST(EmbeddingRequestTest, OllamaForms) {
  EXPECT_EQ(
      Refused(R"({"model":"m","input":["a"],"truncate":false,"options":{}})", &ReadOllamaEmbed),
      "accepted");
  EXPECT_NE(Refused(R"({"model":"m","input":[1]})", &ReadOllamaEmbed), "accepted");
  EXPECT_EQ(Refused(R"({"model":"m","prompt":"a","keep_alive":"5m"})", &ReadOllamaEmbeddings),
            "accepted");
  EXPECT_NE(Refused(R"({"model":"m"})", &ReadOllamaEmbeddings), "accepted");
}

TEST(EmbeddingJsonTest, NumbersAsTextAndBase64) {
  EXPECT_EQ(NumbersToJson(std::vector<float>{0.5f, -2, 1e-7f, NAN}), "[0.5,-2,1e-07,null]");
  EXPECT_EQ(NumbersToBase64(std::vector<float>{1}), "AACAPw==");
  EXPECT_EQ(NumbersToBase64(std::vector<float>{1, -1}), "AACAPwAAgL8=");
  EXPECT_EQ(NumbersToBase64(std::vector<float>{1, -1, 0}), "AACAPwAAgL8AAAAA");
  EXPECT_EQ(OllamaEmbeddingsJson({.status = OkStatus(), .values = {1, 2}, .width = 2}, "m", true),
            "{\"embedding\":[1,2]}");
}

}  // namespace
}  // namespace pelton
