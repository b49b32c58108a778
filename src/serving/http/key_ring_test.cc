#include "serving/http/key_ring.h"

#include <gtest/gtest.h>

#include <filesystem>
#include <fstream>

namespace pelton {
namespace {

HttpRequest With(std::string name, std::string value) {
  HttpRequest request;
  request.headers.push_back({std::move(name), std::move(value)});
  return request;
}

TEST(KeyRingTest, OpensForItsKeysOnly) {
  KeyRing keys;
  EXPECT_TRUE(keys.empty());
  keys.Add("sk-one");
  keys.Add("sk-two");
  EXPECT_FALSE(keys.empty());
  EXPECT_TRUE(keys.Opens(With("Authorization", "Bearer sk-one")));
  EXPECT_TRUE(keys.Opens(With("authorization", "bearer  sk-two")));
  EXPECT_TRUE(keys.Opens(With("X-Api-Key", "sk-two")));
  for (const char* value : {"Bearer sk-on", "Bearer sk-onee", "Bearer ", "sk-one", "Basic sk-one",
                            "Bearer sk-one sk-two", ""}) {
    EXPECT_FALSE(keys.Opens(With("Authorization", value))) << value;
  }
  EXPECT_FALSE(keys.Opens(HttpRequest()));
}

TEST(KeyRingTest, ReadsAFileOfKeys) {
  const std::string path = testing::TempDir() + "/pelton_keys";
  std::ofstream(path) << "# comment\n\nsk-one\r\nsk-two";
  KeyRing keys;
  ASSERT_TRUE(keys.AddFile(path).ok());
  EXPECT_TRUE(keys.Opens(With("X-Api-Key", "sk-one")));
  EXPECT_TRUE(keys.Opens(With("X-Api-Key", "sk-two")));
  EXPECT_FALSE(keys.Opens(With("X-Api-Key", "# comment")));
  EXPECT_FALSE(keys.Opens(With("X-Api-Key", "")));
  std::ofstream(path) << "# nothing\n";
  EXPECT_EQ(KeyRing().AddFile(path).code(), StatusCode::kInvalidArgument);
  std::filesystem::remove(path);
  EXPECT_EQ(KeyRing().AddFile(path).code(), StatusCode::kNotFound);
}

}  // namespace
}  // namespace pelton
