#include "base/file_write.h"

#include <gtest/gtest.h>
#include <unistd.h>

#include <array>
#include <filesystem>

namespace pelton {
namespace {

namespace fs = std::filesystem;

TEST(FileWrite, AFileThatIsWrittenBelongsToOneAndKeepsWhatItHolds) {
  const fs::path folder =
      fs::temp_directory_path() / ("pelton_file_write." + std::to_string(::getpid()));
  fs::create_directory(folder);
  const std::string path = folder / "a.tmp", whole = folder / "a";
  const Result<int> first = CreateLocked(path);
  ASSERT_TRUE(first.ok()) << first.status().message();
  ASSERT_TRUE(WriteAll(*first, "whole", path).ok());
  EXPECT_EQ(CreateLocked(path).status().code(), StatusCode::kUnavailable);
  fs::rename(path, whole);
  ::close(*first);
  // The next one has a file of its own, and is not in the way of the one before.
  const Result<int> next = CreateLocked(path);
  ASSERT_TRUE(next.ok()) << next.status().message();
  EXPECT_EQ(fs::file_size(path), 0u);
  EXPECT_EQ(fs::file_size(whole), 5u);
  ::close(*next);
  // What was left behind is emptied.
  fs::rename(whole, path);
  const Result<int> again = CreateLocked(path);
  ASSERT_TRUE(again.ok()) << again.status().message();
  EXPECT_EQ(fs::file_size(path), 0u);
  EXPECT_EQ(fs::status(path).permissions(), fs::perms::owner_read | fs::perms::owner_write);
  std::array<std::byte, 1> byte;
  EXPECT_FALSE(ReadAt(*again, byte, 0)) << "it is open for writing";
  ::close(*again);
  fs::remove_all(folder);
  EXPECT_NE(CreateLocked(path).status().message().find(path), std::string::npos);
}

}  // namespace
}  // namespace pelton
