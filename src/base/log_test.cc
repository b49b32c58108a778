#include "base/log.h"

#include <fcntl.h>
#include <gtest/gtest.h>
#include <sys/stat.h>
#include <unistd.h>

#include <array>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <limits>

namespace pelton {
namespace {

constexpr int64_t kMoment = 1'700'000'000'123;

std::string FileText(const std::string& path) {
  std::ifstream file(path);
  return {std::istreambuf_iterator<char>(file), {}};
}

TEST(LogTest, WritesTextAndJson) {
  const std::array<LogField, 4> fields = {{{"path", std::string_view("/a")},
                                           {"who", std::string_view("a \"b\"\n")},
                                           {"status", int64_t{200}},
                                           {"seconds", 0.25}}};
  EXPECT_EQ(FormatLogLine(LogFormat::kText, kMoment, LogLevel::kInfo, "request", fields),
            R"(2023-11-14T22:13:20.123Z info request path=/a who="a \"b\"\u000a" status=200 )"
            "seconds=0.25");
  EXPECT_EQ(FormatLogLine(LogFormat::kJson, kMoment, LogLevel::kError, "request", fields),
            R"({"time":"2023-11-14T22:13:20.123Z","level":"error","message":"request","path":"/a",)"
            R"("who":"a \"b\"\u000a","status":200,"seconds":0.25})");
}

TEST(LogTest, NothingPassesForAnotherLineOrForText) {
  const double nan = std::numeric_limits<double>::quiet_NaN();
  const std::array<LogField, 2> fields = {
      {{"a", std::string_view("\xC3\xA9\xC3\xED\xA0\x80\xFF")}, {"b", nan}}};
  EXPECT_EQ(FormatLogLine(LogFormat::kJson, 0, LogLevel::kDebug, "x\r\ny", fields),
            "{\"time\":\"1970-01-01T00:00:00.000Z\",\"level\":\"debug\",\"message\":\"x\\u000d"
            "\\u000ay\",\"a\":\"\xC3\xA9?????\",\"b\":null}");
  EXPECT_EQ(FormatLogLine(LogFormat::kText, -1, LogLevel::kWarning, "x", {}),
            "1969-12-31T23:59:59.999Z warning x");
}

TEST(LogTest, ASlowReaderDelaysNobody) {
  std::array<int, 2> pipe{};
  ASSERT_EQ(::pipe(pipe.data()), 0);
  {
    Log log(LogFormat::kText, LogLevel::kInfo, pipe[1]);
    const std::string text(1000, 'x');
    // Far more than a pipe and the queue hold; nobody reads.
    for (int i = 0; i < 20'000; ++i) log.Info(text);
    log.Write(LogLevel::kDebug, "below the level");
    EXPECT_GT(log.dropped(), 5'000u);
  }  // ends although nobody reads
  ::close(pipe[0]);
  ::close(pipe[1]);
}

TEST(LogTest, AFileIsPrivateAndBounded) {
  const std::string folder = testing::TempDir() + "/pelton_lines";
  std::filesystem::remove_all(folder);
  std::filesystem::create_directory(folder);
  const std::string path = folder + "/audit.jsonl";
  {
    auto lines = AsyncLines::ToFile(path, 1000);
    ASSERT_TRUE(lines.ok());
    for (int i = 0; i < 100; ++i) (*lines)->Write(std::string(49, 'a'));
  }
  const std::string text = FileText(path) + FileText(folder + "/audit.1.jsonl");
  EXPECT_GE(text.size(), 1000u);
  EXPECT_LE(text.size(), 2000u);
  EXPECT_EQ(text.substr(0, 50), std::string(49, 'a') + "\n");
  for (const char* name : {"/audit.jsonl", "/audit.1.jsonl"}) {
    struct stat info {};
    ASSERT_EQ(::stat((folder + name).c_str(), &info), 0);
    EXPECT_EQ(info.st_mode & 0777, 0600u) << name;
  }
  EXPECT_EQ(AsyncLines::ToFile(folder + "/none/x", 1000).status().code(),
            StatusCode::kInvalidArgument);
  {
    auto full = AsyncLines::ToFile("/dev/full", 1000);
    if (full.ok()) {
      (*full)->Write("x");
      while ((*full)->failed() == 0) ::usleep(1000);
    }
  }
  std::filesystem::remove_all(folder);
}

}  // namespace
}  // namespace pelton
