#include "base/available_memory.h"

#include <gtest/gtest.h>
#include <unistd.h>

#include <filesystem>
#include <fstream>

namespace pelton {
namespace {

class ControlGroupTest : public testing::Test {
 protected:
  void SetUp() override {
    root_ = testing::TempDir() + "pelton_groups_" + std::to_string(::getpid());
    std::filesystem::remove_all(root_);
  }
  void TearDown() override { std::filesystem::remove_all(root_); }

  void Write(const std::string& path, const std::string& text) {
    const std::filesystem::path full = root_ + path;
    std::filesystem::create_directories(full.parent_path());
    std::ofstream(full) << text << '\n';
  }

  std::string root_;
};

TEST_F(ControlGroupTest, TheLeastOfAGroupAndThoseThatHoldIt) {
  Write("/a/b/memory.max", "1000");
  Write("/a/b/memory.current", "700");
  Write("/a/b/memory.stat", "anon 100\nfile 500\ninactive_file 150\nactive_file 50");
  EXPECT_EQ(ControlGroupRoom("0::/a/b\n", root_), 500u);
  Write("/a/memory.max", "900");
  Write("/a/memory.current", "850");
  EXPECT_EQ(ControlGroupRoom("0::/a/b\n", root_), 50u);
  Write("/memory.max", "max");
  Write("/memory.current", "5");
  EXPECT_EQ(ControlGroupRoom("0::/a/b\n", root_), 50u);
  EXPECT_EQ(ControlGroupRoom("0::/\n", root_), std::nullopt);
  // More is used than may be.
  Write("/a/memory.current", "1850");
  EXPECT_EQ(ControlGroupRoom("0::/a/b\n", root_), 0u);
}

TEST_F(ControlGroupTest, AContainerSeesItsOwnAsTheRoot) {
  Write("/memory.max", "4096");
  Write("/memory.current", "96");
  EXPECT_EQ(ControlGroupRoom("0::/\n", root_), 4000u);
  // Or a path that is not there.
  EXPECT_EQ(ControlGroupRoom("0::/docker/1234\n", root_), 4000u);
}

TEST_F(ControlGroupTest, TheFirstVersion) {
  Write("/memory/x/memory.limit_in_bytes", "10000");
  Write("/memory/x/memory.usage_in_bytes", "4000");
  Write("/memory/x/memory.stat", "inactive_file 7\ntotal_inactive_file 900\ntotal_active_file 100");
  EXPECT_EQ(ControlGroupRoom("5:cpu:/\n4:memory:/x\n0::/\n", root_), 7000u);
  EXPECT_EQ(ControlGroupRoom("4:hugetlb,memory:/x\n", root_), 7000u);
  EXPECT_EQ(ControlGroupRoom("4:cpu:/x\nnonsense\n4:\n", root_), std::nullopt);
  EXPECT_EQ(ControlGroupRoom("", root_), std::nullopt);
}

TEST(AvailableMemory, IsSomething) { EXPECT_GT(AvailableMemoryBytes(), 0u); }

}  // namespace
}  // namespace pelton
