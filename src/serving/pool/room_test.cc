#include "serving/pool/room.h"

#include <gtest/gtest.h>

namespace pelton {
namespace {

using Going = std::optional<std::vector<size_t>>;

TEST(RoomTest, NothingGoesWhereThereIsRoom) {
  EXPECT_EQ(ChooseEvictions({}, 10, 10), Going(std::vector<size_t>{}));
  const RoomHolder holders[] = {{.bytes = 40, .may_go = true}};
  EXPECT_EQ(ChooseEvictions(holders, 60, 100), Going(std::vector<size_t>{}));
}

TEST(RoomTest, WhatWasUsedLongestAgoGoesFirst) {
  const RoomHolder holders[] = {{.bytes = 40, .may_go = true, .last_used_ns = 30},
                                {.bytes = 30, .may_go = true, .last_used_ns = 10},
                                {.bytes = 30, .may_go = true, .last_used_ns = 20}};
  EXPECT_EQ(ChooseEvictions(holders, 10, 100), Going(std::vector<size_t>{1}));
  EXPECT_EQ(ChooseEvictions(holders, 50, 100), Going(std::vector<size_t>{1, 2}));
  EXPECT_EQ(ChooseEvictions(holders, 100, 100), Going(std::vector<size_t>{1, 2, 0}));
}

TEST(RoomTest, WhatNeedNotGoAfterAllStays) {
  const RoomHolder holders[] = {{.bytes = 10, .may_go = true, .last_used_ns = 1},
                                {.bytes = 80, .may_go = true, .last_used_ns = 2}};
  EXPECT_EQ(ChooseEvictions(holders, 60, 100), Going(std::vector<size_t>{1}));
}

TEST(RoomTest, NothingGoesInVain) {
  const RoomHolder holders[] = {{.bytes = 50, .may_go = false, .last_used_ns = 1},
                                {.bytes = 50, .may_go = true, .last_used_ns = 2}};
  EXPECT_EQ(ChooseEvictions(holders, 51, 100), std::nullopt);
  EXPECT_EQ(ChooseEvictions(holders, 101, 100), std::nullopt);
  EXPECT_EQ(ChooseEvictions(holders, 50, 100), Going(std::vector<size_t>{1}));
}

}  // namespace
}  // namespace pelton
