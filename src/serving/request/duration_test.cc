#include "serving/request/duration.h"

#include <gtest/gtest.h>

#include <string>

namespace pelton {
namespace {

TEST(DurationTest, UnitsAddUp) {
  EXPECT_EQ(ParseDuration("5m"), int64_t{300'000'000'000});
  EXPECT_EQ(ParseDuration("1h30m"), int64_t{5'400'000'000'000});
  EXPECT_EQ(ParseDuration("1.5h"), int64_t{5'400'000'000'000});
  EXPECT_EQ(ParseDuration("300ms"), 300'000'000);
  EXPECT_EQ(ParseDuration("1s5us7ns"), 1'000'005'007);
  EXPECT_EQ(ParseDuration("20"), int64_t{20'000'000'000});
  EXPECT_EQ(ParseDuration("0"), 0);
  EXPECT_EQ(ParseDuration("-0"), 0);
}

TEST(DurationTest, NegativeAndVeryLongAreForEver) {
  for (const char* text : {"forever", "-1", "-1m", "-5h3s", "9999999h"}) {
    EXPECT_EQ(ParseDuration(text), -1) << text;
  }
  EXPECT_EQ(ParseDuration(std::string(300, '9') + "h"), -1);
}

TEST(DurationTest, OtherTextsAreNone) {
  for (const char* text : {"", "-", "m", "5 m", "5m3", "5x", "1e3", "nan", "inf", "-inf", "--1",
                           "5m-3s", "0x5", " 5", "5 "}) {
    EXPECT_EQ(ParseDuration(text), std::nullopt) << text;
  }
}

}  // namespace
}  // namespace pelton
