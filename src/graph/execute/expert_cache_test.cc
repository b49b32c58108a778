#include "graph/execute/expert_cache.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <optional>
#include <string>

namespace pelton {
namespace {

// Two layers of four experts of two pages each, in memory where dropped pages are zeros.
class ExpertCacheTest : public testing::Test {
 protected:
  static constexpr size_t kExpert = 2 * 4096;

  void Make(size_t most) {
    cache_.emplace(
        std::vector<std::vector<ExpertPanels>>{
            {{memory_, 4096}, {memory_ + 4 * 4096, 4096}},
            {{memory_ + 8 * 4096, 4096}, {memory_ + 12 * 4096, 4096}}},
        std::vector<size_t>{4, 4}, most, metrics_);
  }
  void Use(size_t layer, const std::vector<size_t>& experts) {
    int32_t starts[5] = {};
    for (size_t e = 0; e < 4; ++e) {
      starts[e + 1] =
          starts[e] + static_cast<int32_t>(std::count(experts.begin(), experts.end(), e));
    }
    cache_->Use(layer, starts);
  }
  std::string Resident() const {
    std::string out;
    for (size_t layer = 0; layer < 2; ++layer) {
      for (size_t e = 0; e < 4; ++e) out += cache_->IsResident(layer, e) ? '1' : '0';
    }
    return out;
  }
  uint64_t Count(const std::string& name) {
    return metrics_.AddCounter("pelton_expert_cache_" + name + "_total", "", "").value();
  }

  alignas(4096) std::byte memory_[16 * 4096] = {};
  MetricRegistry metrics_;
  std::optional<ExpertCache> cache_;
};

TEST_F(ExpertCacheTest, KeepsThoseUsedLast) {
  Make(4 * kExpert);
  Use(0, {0, 1});
  Use(1, {2, 2, 3});
  EXPECT_EQ(Resident(), "11000011");
  EXPECT_EQ(Count("misses"), 4u);
  Use(0, {0});
  EXPECT_EQ(Count("hits"), 1u);
  Use(1, {0});
  EXPECT_EQ(Resident(), "10001011") << "expert 1 of layer 0 was used the longest ago";
  Use(0, {3});
  EXPECT_EQ(Resident(), "10011001");
  EXPECT_EQ(Count("evicted_bytes"), 2 * kExpert);
  EXPECT_EQ(cache_->resident_bytes(), 4 * kExpert);
  EXPECT_EQ(metrics_.AddGauge("pelton_expert_cache_resident_bytes", "", "").value(),
            static_cast<int64_t>(4 * kExpert));
}

TEST_F(ExpertCacheTest, AStepMayNeedMoreThanThereIsRoomFor) {
  Make(kExpert);
  Use(0, {0, 1, 2});
  EXPECT_EQ(Resident(), "11100000");
  Use(0, {2});
  EXPECT_EQ(Resident(), "00100000") << "what it had too much leaves with the next call";
  Use(1, {});
  EXPECT_EQ(Resident(), "00100000");
  Use(1, {0, 1, 2, 3});
  EXPECT_EQ(Resident(), "00001111");
  cache_.reset();
  EXPECT_EQ(metrics_.AddGauge("pelton_expert_cache_resident_bytes", "", "").value(), 0);
}

TEST_F(ExpertCacheTest, WhatIsForeseenIsAskedForWhereThereIsRoom) {
  Make(4 * kExpert);
  Use(0, {0, 1});
  cache_->Foresee(1, std::vector<int32_t>{2, 0, 2, 1});
  EXPECT_EQ(Resident(), "11001010") << "the layer in use stays, and there is room for two";
  Use(1, {2, 3});
  EXPECT_EQ(Resident(), "01001011") << "expert 0 of layer 0 was used the longest ago";
  EXPECT_EQ(Count("foreseen"), 1u);
  EXPECT_EQ(Count("misses"), 3u);
  EXPECT_EQ(Count("hits"), 0u);
  Use(1, {2});
  EXPECT_EQ(Count("foreseen"), 1u);
  EXPECT_EQ(Count("hits"), 1u) << "the second use of what was foreseen";
  EXPECT_EQ(Count("fetched_bytes"), 5 * kExpert);
}

TEST_F(ExpertCacheTest, WhatIsForeseenAndThereDoesNotLeave) {
  Make(3 * kExpert);
  Use(1, {0, 1});
  Use(0, {3});
  cache_->Foresee(1, std::vector<int32_t>{0, 2});
  EXPECT_EQ(Resident(), "00011010") << "expert 1 made room, not 0, which is as old";
  Use(1, {0});
  EXPECT_EQ(Count("hits"), 1u);
  EXPECT_EQ(Count("foreseen"), 0u);
  // A guess that was wrong leaves as everything does.
  Use(0, {0, 1});
  EXPECT_EQ(Resident(), "11001000");
  cache_->Foresee(1, std::vector<int32_t>{1, 2, 3});
  EXPECT_EQ(Resident(), "11000100");
}

TEST_F(ExpertCacheTest, OnlyPagesOfEvictedExpertsLeave) {
  std::fill(std::begin(memory_), std::end(memory_), std::byte{1});
  Make(kExpert);
  Use(0, {1});
  Use(1, {0});
  for (size_t page = 0; page < 16; ++page) {
    const bool left = page == 1 || page == 5;
    EXPECT_EQ(memory_[page * 4096], std::byte{left ? uint8_t{0} : uint8_t{1}}) << page;
    EXPECT_EQ(memory_[page * 4096 + 4095], std::byte{left ? uint8_t{0} : uint8_t{1}}) << page;
  }
}

}  // namespace
}  // namespace pelton
