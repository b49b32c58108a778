#include "serving/tenant/api_key.h"

#include <gtest/gtest.h>

#include <set>

namespace pelton {
namespace {

TEST(ApiKeyTest, NewKeysAreLongAndDiffer) {
  std::set<std::string> keys;
  for (int i = 0; i < 100; ++i) {
    const std::string key = NewApiKey();
    EXPECT_EQ(key.size(), 10u + 43);
    EXPECT_EQ(key.substr(0, 10), "sk-pelton-");
    EXPECT_TRUE(keys.insert(key).second);
  }
  EXPECT_EQ(RandomHex(8).size(), 16u);
}

TEST(ApiKeyTest, DigestsAreSha256AndPrint) {
  // FIPS 180-2, appendix B.1.
  const std::string hex = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad";
  EXPECT_EQ(HexOf(DigestOf("abc")), hex);
  ASSERT_TRUE(DigestOfHex(hex));
  EXPECT_TRUE(SameDigest(*DigestOfHex(hex), DigestOf("abc")));
  EXPECT_FALSE(SameDigest(DigestOf("abd"), DigestOf("abc")));
  for (const std::string& bad :
       {hex.substr(1), hex + "0", "B" + hex.substr(1), "g" + hex.substr(1), std::string()}) {
    EXPECT_FALSE(DigestOfHex(bad)) << bad;
  }
}

TEST(ApiKeyTest, FindsTheKeyOfARequest) {
  const auto key_of = [](std::string name, std::string value) {
    HttpRequest request;
    request.headers.push_back({std::move(name), std::move(value)});
    return std::string(KeyOf(request));
  };
  EXPECT_EQ(key_of("Authorization", "Bearer sk-one"), "sk-one");
  EXPECT_EQ(key_of("authorization", "bearer  sk-two"), "sk-two");
  EXPECT_EQ(key_of("X-Api-Key", "sk-two"), "sk-two");
  EXPECT_EQ(key_of("Authorization", "Bearer sk-one sk-two"), "sk-one sk-two");
  for (const char* value : {"Bearer ", "sk-one", "Basic sk-one", ""}) {
    EXPECT_EQ(key_of("Authorization", value), "") << value;
  }
}

}  // namespace
}  // namespace pelton
