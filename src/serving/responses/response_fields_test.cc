#include "serving/responses/response_fields.h"

#include <gtest/gtest.h>

namespace pelton {
namespace {

// Reads a request with a short input and these members beside it.
std::string Read(const char* members, ResponseFields* fields) {
  Json object = Json::parse(members);
  if (!object.contains("input")) object["input"] = "a";
  FieldReader reader(object);
  ReadResponseFields(reader, fields);
  reader.RefuseUnknown();
  EXPECT_EQ(reader.ok(), reader.failed_field().empty());
  return reader.failed_field();
}

std::string Failure(const char* members) {
  ResponseFields fields;
  return Read(members, &fields);
}

TEST(ResponseFields, AreStatedInTheResponse) {
  ResponseFields fields;
  ASSERT_EQ(Read(R"({"temperature":0.7,"max_output_tokens":5,"user":"u","metadata":{"a":"b"},
                     "instructions":"i","reasoning":{"effort":"low"}})",
                 &fields),
            "");
  const Json& settings = fields.form.settings;
  EXPECT_EQ(ToText(settings["temperature"]), "0.7");
  EXPECT_EQ(settings["max_output_tokens"], 5);
  EXPECT_EQ(settings["user"], "u");
  EXPECT_EQ(settings["instructions"], "i");
  EXPECT_EQ(ToText(settings["metadata"]), R"({"a":"b"})");
  EXPECT_EQ(settings["reasoning"]["effort"], "low");
  EXPECT_EQ(ToText(settings["text"]), R"({"format":{"type":"text"},"verbosity":"medium"})");
  EXPECT_EQ(settings["tool_choice"], "auto");
  EXPECT_EQ(fields.kwargs["reasoning_effort"], "low");
  EXPECT_EQ(fields.generation.params.max_tokens, 5u);
  EXPECT_TRUE(fields.form.store);
  EXPECT_FALSE(fields.form.store_asked);
}

TEST(ResponseFields, ToolsTakeTheFormOfChats) {
  ResponseFields fields;
  ASSERT_EQ(Read(R"({"tools":[{"type":"function","name":"f","parameters":{"type":"object"},
                               "strict":true},{"type":"function","name":"g"}],
                     "tool_choice":{"type":"allowed_tools","mode":"required",
                                    "tools":[{"type":"function","name":"f"}]}})",
                 &fields),
            "");
  EXPECT_EQ(ToText(fields.tools),
            R"([{"type":"function","function":{"name":"f","parameters":{"type":"object"},)"
            R"("strict":true}}])");
  EXPECT_EQ(fields.form.settings["tools"].size(), 2u);
  EXPECT_EQ(fields.generation.tool_choice.kind, ToolChoice::Kind::kRequired);
  fields = {};
  ASSERT_EQ(Read(R"({"tools":[{"type":"function","name":"f"}],"tool_choice":"none"})", &fields),
            "");
  EXPECT_TRUE(fields.tools.is_null());
}

TEST(ResponseFields, FormatsBecomeConstraints) {
  ResponseFields fields;
  ASSERT_EQ(Read(R"({"text":{"format":{"type":"json_schema","name":"n","strict":true,
                                       "schema":{"type":"object"}}}})",
                 &fields),
            "");
  ASSERT_TRUE(fields.generation.constraint);
  EXPECT_EQ(fields.generation.constraint->kind, GrammarSource::Kind::kJsonSchema);
  EXPECT_EQ(fields.generation.constraint->text, R"({"type":"object"})");
  fields = {};
  ASSERT_EQ(Read(R"({"text":{"format":{"type":"text"}}})", &fields), "");
  EXPECT_FALSE(fields.generation.constraint);
}

TEST(ResponseFields, LogprobsAreWantedByEitherName) {
  ResponseFields fields;
  ASSERT_EQ(Read(R"({"include":["message.output_text.logprobs"]})", &fields), "");
  EXPECT_EQ(fields.generation.params.logprobs, 0u);
  fields = {};
  ASSERT_EQ(Read(R"({"top_logprobs":3})", &fields), "");
  EXPECT_EQ(fields.generation.params.logprobs, 3u);
  fields = {};
  ASSERT_EQ(Read(R"({"include":["reasoning.encrypted_content"],"top_logprobs":0})", &fields), "");
  EXPECT_FALSE(fields.generation.params.logprobs);
}

TEST(ResponseFields, WhatIsNotSupportedIsNamed) {
  EXPECT_EQ(Failure("{}"), "");
  EXPECT_EQ(Failure(R"({"nonsense":1})"), "nonsense");
  EXPECT_EQ(Failure(R"({"input":null})"), "input");
  EXPECT_EQ(Failure(R"({"conversation":"c"})"), "conversation");
  EXPECT_EQ(Failure(R"({"prompt":{"id":"p"}})"), "prompt");
  EXPECT_EQ(Failure(R"({"background":true,"stream":true})"), "background");
  EXPECT_EQ(Failure(R"({"background":true,"store":false})"), "background");
  EXPECT_EQ(Failure(R"({"truncation":"often"})"), "truncation");
  EXPECT_EQ(Failure(R"({"stream_options":{}})"), "stream_options");
  EXPECT_EQ(Failure(R"({"stream":true,"stream_options":{"include_obfuscation":true}})"),
            "stream_options.include_obfuscation");
  EXPECT_EQ(Failure(R"({"text":{"verbosity":"low"}})"), "text.verbosity");
  EXPECT_EQ(Failure(R"({"text":{"format":{"type":"xml"}}})"), "text.format.type");
  EXPECT_EQ(Failure(R"({"text":{"format":{"type":"json_schema","name":"n"}}})"),
            "text.format.schema");
  EXPECT_EQ(Failure(R"({"tools":[{"type":"web_search"}]})"), "tools[0].type");
  EXPECT_EQ(Failure(R"({"tools":[{"type":"function"}]})"), "tools[0].name");
  EXPECT_EQ(Failure(R"({"tool_choice":{"type":"mcp"}})"), "tool_choice");
  EXPECT_EQ(Failure(R"({"tool_choice":{"type":"allowed_tools","mode":"auto",
                         "tools":[{"type":"function","name":"f"}]}})"),
            "tool_choice.tools");
  EXPECT_EQ(Failure(R"({"reasoning":{"effort":"huge"}})"), "reasoning.effort");
  EXPECT_EQ(Failure(R"({"reasoning":{"summary":"detailed"}})"), "reasoning.summary");
  EXPECT_EQ(Failure(R"({"include":["everything"]})"), "include");
  EXPECT_EQ(Failure(R"({"top_logprobs":21})"), "top_logprobs");
  EXPECT_EQ(Failure(R"({"metadata":{"a":1}})"), "metadata");
  EXPECT_EQ(Failure(R"({"service_tier":"slow"})"), "service_tier");
  EXPECT_EQ(Failure(R"({"prompt_cache_retention":"24h"})"), "prompt_cache_retention");
}

}  // namespace
}  // namespace pelton
