#include "net/http/request_id.h"

#include <gtest/gtest.h>

#include <set>

namespace pelton {
namespace {

TEST(RequestIdTest, TakesPlainNamesOnly) {
  for (const char* safe : {"a", "0af7651916cd43dd8448eb211c80319c", "A.b_c:d-e"}) {
    EXPECT_TRUE(IsSafeRequestId(safe)) << safe;
  }
  for (const char* unsafe : {"", " ", "a b", "a\r\nb", "a\"b", "\xC3\xA9", "a;b", "{}"}) {
    EXPECT_FALSE(IsSafeRequestId(unsafe)) << unsafe;
  }
  EXPECT_TRUE(IsSafeRequestId(std::string(128, 'x')));
  EXPECT_FALSE(IsSafeRequestId(std::string(129, 'x')));
}

TEST(RequestIdTest, NewOnesAreSafeAndDiffer) {
  std::set<std::string> ids;
  for (int i = 0; i < 1000; ++i) {
    const std::string id = NewRequestId();
    EXPECT_EQ(id.size(), 32u);
    EXPECT_TRUE(IsSafeRequestId(id));
    EXPECT_TRUE(ids.insert(id).second);
  }
}

}  // namespace
}  // namespace pelton
