#include "net/http/multipart.h"

#include <gtest/gtest.h>

namespace pelton {
namespace {

// Name, filename and body of each part, or "refused".
std::string PartsOf(std::string_view body) {
  const Result<std::vector<FormPart>> parts = ParseForm(body, "b");
  if (!parts.ok()) {
    EXPECT_FALSE(parts.status().message().empty());
    return "refused";
  }
  std::string text;
  for (const FormPart& part : *parts) {
    text += part.name + "|" + part.filename + "|" + std::string(part.body) + ";";
  }
  return text;
}

constexpr const char* kHead = "--b\r\nContent-Disposition: form-data; name=\"a\"\r\n\r\n";

TEST(ParseForm, ReadsFieldsAndFiles) {
  EXPECT_EQ(
      PartsOf("--b\r\nContent-Disposition: form-data; name=\"purpose\"\r\n\r\nbatch\r\n"
              "--b\r\ncontent-disposition: FORM-DATA; filename=\"x \\\"y\\\".jsonl\"; name=f\r\n"
              "Content-Type: text/plain\r\n\r\nl1\r\nl2\r\n\r\n--b--\r\n"),
      "purpose||batch;f|x \"y\".jsonl|l1\r\nl2\r\n;");
  EXPECT_EQ(PartsOf(std::string(kHead) + "\r\n--b--"), "a||;");
  EXPECT_EQ(PartsOf(std::string(kHead) + "--b-\r\n--bc\n\r\n--b--"), "refused");
  EXPECT_EQ(PartsOf(std::string(kHead) + "\n--b\r--b\r\n-b\r\n--b--"), "a||\n--b\r--b\r\n-b;");
  EXPECT_EQ(PartsOf("--b--"), "");
}

TEST(ParseForm, RefusesWhatIsAmbiguous) {
  const std::string head = kHead;
  for (const std::string& body : {
           std::string(),
           std::string("--b"),
           std::string("--b\r\n"),
           "preamble\r\n" + head + "x\r\n--b--",
           head + "x",
           head + "x\r\n--b",
           head + "x\r\n--b--more",
           head + "x\n--b--",
           std::string("--b\r\n\r\nx\r\n--b--"),
           std::string("--b\r\nContent-Disposition: form-data\r\n\r\nx\r\n--b--"),
           std::string("--b\r\nContent-Disposition: attachment; name=a\r\n\r\nx\r\n--b--"),
           std::string("--b\r\nContent-Disposition: form-data; name=\"a\r\n\r\nx\r\n--b--"),
           std::string("--b\r\nContent-Disposition: form-data; name=a; name=c\r\n\r\nx\r\n--b--"),
           std::string("--b\r\nContent-Disposition: form-data; name=a\r\n"
                       "Content-Transfer-Encoding: base64\r\n\r\nx\r\n--b--"),
           std::string("--b\r\nno header\r\n\r\nx\r\n--b--"),
       }) {
    EXPECT_EQ(PartsOf(body), "refused") << body;
  }
}

TEST(ParseForm, HasLimits) {
  std::string many;
  for (int i = 0; i < 32; ++i) many += std::string(kHead) + "x\r\n";
  EXPECT_NE(PartsOf(many + "--b--"), "refused");
  EXPECT_EQ(PartsOf(many + kHead + "x\r\n--b--"), "refused");
  EXPECT_EQ(PartsOf("--b\r\nX: " + std::string(9000, 'x') + "\r\n\r\nx\r\n--b--"), "refused");
}

TEST(FormBoundary, IsWhatTheTypeSays) {
  const auto boundary = [](std::string_view type) {
    return FormBoundary(type).ok() ? *FormBoundary(type) : "refused";
  };
  EXPECT_EQ(boundary("multipart/form-data; boundary=abc"), "abc");
  EXPECT_EQ(boundary("Multipart/Form-Data; charset=utf-8;boundary=\"a b\""), "a b");
  EXPECT_EQ(boundary("multipart/form-data"), "refused");
  EXPECT_EQ(boundary("multipart/form-data; boundary="), "refused");
  EXPECT_EQ(boundary("multipart/form-data; boundary=\"a\r\nb\""), "refused");
  EXPECT_EQ(boundary("multipart/form-data; boundary=" + std::string(71, 'x')), "refused");
  EXPECT_EQ(boundary("application/json"), "refused");
}

}  // namespace
}  // namespace pelton
