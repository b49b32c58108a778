#include "serving/api/query.h"

#include <gtest/gtest.h>

namespace pelton {
namespace {

TEST(QueryNumber, ReadsOneNumberInItsRange) {
  EXPECT_EQ(QueryNumber("limit=1", "limit", 1, 60), 1);
  EXPECT_EQ(QueryNumber("limit=60", "limit", 1, 60), 60);
  for (const char* bad : {"", "limit", "limit=", "limit=0", "limit=61", "limit=-1", "limit=5x",
                          "limit= 5", "limit=5&limit=6", "Limit=5", "limits=5", "x=5",
                          "limit=99999999999999999999", "limit=5.0", "limit=%35"}) {
    EXPECT_EQ(QueryNumber(bad, "limit", 1, 60), std::nullopt) << bad;
  }
}

}  // namespace
}  // namespace pelton
