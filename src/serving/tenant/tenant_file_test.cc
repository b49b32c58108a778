#include "serving/tenant/tenant_file.h"

#include <fcntl.h>
#include <gtest/gtest.h>
#include <sys/stat.h>

#include <filesystem>
#include <fstream>

namespace pelton {
namespace {

TenantSpec Full() {
  return {.name = "alice",
          .digests = {DigestOf("new"), DigestOf("old")},
          .previous_until = 1'800'000'000,
          .salt = "00ff",
          .created = 1'700'000'000,
          .expires = 1'900'000'000,
          .limits = {.requests_per_minute = 60,
                     .tokens_per_minute = 1000,
                     .tokens_per_day = 5000,
                     .max_concurrent = 3,
                     .weight = 2.5,
                     .service_class = "realtime",
                     .models = {"a", "b"}}};
}

TEST(TenantFileTest, PrintsAndReadsBack) {
  const std::string text =
      TenantFileText({Full(), {.name = "bob", .digests = {DigestOf("b")}, .salt = "1"}});
  const auto read = ParseTenantFile(text);
  ASSERT_TRUE(read.ok()) << read.status().message();
  ASSERT_EQ(read->size(), 2u);
  EXPECT_EQ(TenantFileText(*read), text);
  const TenantSpec& alice = (*read)[0];
  EXPECT_EQ(alice.digests, Full().digests);
  EXPECT_EQ(alice.previous_until, 1'800'000'000);
  EXPECT_EQ(alice.expires, 1'900'000'000);
  EXPECT_EQ(alice.limits.tokens_per_day, 5000u);
  EXPECT_EQ(alice.limits.weight, 2.5);
  EXPECT_EQ(alice.limits.models, (std::vector<std::string>{"a", "b"}));
  EXPECT_EQ((*read)[1].limits.requests_per_minute, 0u);
}

TEST(TenantFileTest, RefusesWhatItDoesNotKnow) {
  const std::string digest(64, 'a');
  const auto with = [&](const std::string& more) {
    return R"({"version":1,"tenants":[{"name":"a","salt":"s","sha256":")" + digest + "\"" + more +
           "}]}";
  };
  ASSERT_TRUE(ParseTenantFile(with("")).ok());
  for (const auto& [text, word] : std::initializer_list<std::pair<std::string, std::string>>{
           {"", "JSON"},
           {"[]", "object"},
           {R"({"tenants":[]})", "version"},
           {R"({"version":2,"tenants":[]})", "version"},
           {R"({"version":1})", "tenants"},
           {R"({"version":1,"tenants":[5]})", "tenants[0]"},
           {R"({"version":1,"tenants":[{"name":"a b","salt":"s","sha256":")" + digest + "\"}]}",
            "name"},
           {with(R"(,"sha":1)"), "sha"},
           {with(R"(,"request_per_minute":1)"), "requests_per_minute"},
           {with(R"(,"requests_per_minute":-1)"), "requests_per_minute"},
           {with(R"(,"weight":0)"), "weight"},
           {with(R"(,"service_class":"fast")"), "service_class"},
           {with(R"(,"expires":"tomorrow")"), "expires"},
           {with(R"(,"expires":"2027-02-29T00:00:00Z")"), "expires"},
           {with(R"(,"previous_sha256":"12")"), "previous_sha256"},
           {with(R"(,"previous_sha256":")" + digest +
                 R"(","previous_until":"2027-01-01T00:00:00Z")"),
            "another"},
       }) {
    const auto read = ParseTenantFile(text);
    ASSERT_FALSE(read.ok()) << text;
    EXPECT_EQ(read.status().code(), StatusCode::kInvalidArgument);
    EXPECT_NE(read.status().message().find(word), std::string::npos) << read.status().message();
  }
}

TEST(TenantFileTest, IsPrivateAndReplacedAtOnce) {
  const std::string path = testing::TempDir() + "/pelton_tenants.json";
  std::filesystem::remove(path);
  EXPECT_EQ(ReadTenantFile(path).status().code(), StatusCode::kNotFound);
  ASSERT_TRUE(WriteTenantFile(path, {Full()}).ok());
  struct stat info {};
  ASSERT_EQ(::stat(path.c_str(), &info), 0);
  EXPECT_EQ(info.st_mode & 0777, 0600u);
  std::ifstream old(path);  // whoever has the old file open reads it to its end
  ASSERT_TRUE(WriteTenantFile(path, {}).ok());
  EXPECT_NE(std::string(std::istreambuf_iterator<char>(old), {}).find("alice"), std::string::npos);
  EXPECT_TRUE(ReadTenantFile(path)->empty());
  for (const mode_t mode : {0640, 0604, 0620}) {
    ASSERT_EQ(::chmod(path.c_str(), mode), 0);
    EXPECT_EQ(ReadTenantFile(path).status().code(), StatusCode::kInvalidArgument) << mode;
  }
  EXPECT_FALSE(ReadTenantFile(testing::TempDir()).ok());
  EXPECT_FALSE(WriteTenantFile(testing::TempDir() + "/none/x", {}).ok());
  std::filesystem::remove(path);
}

TEST(TenantFileTest, TimesAreUtc) {
  EXPECT_EQ(TimeText(0), "1970-01-01T00:00:00Z");
  EXPECT_EQ(ParseTime("2023-11-14T22:13:20Z"), 1'700'000'000);
  EXPECT_EQ(ParseTime(TimeText(1'709'164'800)), 1'709'164'800);  // 29 February
  for (const char* bad : {"", "2023-11-14", "2023-13-14T22:13:20Z", "2023-11-31T22:13:20Z",
                          "2023-11-14T24:13:20Z", "2023-11-14T22:13:20z", "1969-01-01T00:00:00Z"}) {
    EXPECT_FALSE(ParseTime(bad)) << bad;
  }
}

}  // namespace
}  // namespace pelton
