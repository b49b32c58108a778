#include "serving/web/page_files.h"

#include <gtest/gtest.h>

#include <set>
#include <string>

#include "serving/web/page_pack.h"

namespace pelton {
namespace {

const PageFile& Find(const std::vector<PageFile>& files, std::string_view name) {
  for (const PageFile& file : files) {
    if (file.name == name) return file;
  }
  ADD_FAILURE() << "no file " << name;
  return files.front();
}

TEST(PagePack, HoldsWhatThePageAsksFor) {
  const std::vector<PageFile> files = ReadPack(PagePack());
  const std::string page = Unpacked(Find(files, "page.html"));
  size_t asked = 0;
  for (size_t at = page.find("\"assets/"); at != std::string::npos;
       at = page.find("\"assets/", at + 1)) {
    const size_t begin = at + sizeof("\"assets/") - 1;
    Find(files, std::string_view(page).substr(begin, page.find('"', begin) - begin));
    ++asked;
  }
  EXPECT_GE(asked, 10u);
  std::set<std::string_view> tags;
  for (const PageFile& file : files) {
    EXPECT_EQ(Unpacked(file).size(), file.size) << file.name;
    EXPECT_TRUE(tags.insert(file.tag).second) << file.name;
  }
}

TEST(PagePack, HoldsLibrariesThatWork) {
  const std::vector<PageFile> files = ReadPack(PagePack());
  const std::string style = Unpacked(Find(files, "katex.css"));
  EXPECT_NE(style.find("url(KaTeX_Main-Regular.woff2)"), std::string::npos);
  EXPECT_EQ(style.find(".ttf"), std::string::npos);
  const std::string coloured = Unpacked(Find(files, "highlight.js"));
  EXPECT_NE(coloured.find("registerLanguage(\"python\""), std::string::npos);
  const std::string notice = Unpacked(Find(files, "notice.txt"));
  for (const char* package : {"libjs-marked", "node-dompurify", "node-highlight.js", "libjs-katex",
                              "fonts-katex", "libjs-chart.js"}) {
    EXPECT_NE(notice.find(package), std::string::npos) << package;
  }
}

TEST(PagePack, ReadsFilesAsTheyWereWritten) {
  const std::vector<PageFile> files =
      ReadPack("a.js text/javascript t1 identity 3 3\nb.css text/css t2 identity 0 0\n\nabc");
  ASSERT_EQ(files.size(), 2u);
  EXPECT_EQ(files[0].name, "a.js");
  EXPECT_EQ(files[0].type, "text/javascript");
  EXPECT_EQ(files[0].tag, "t1");
  EXPECT_EQ(Unpacked(files[0]), "abc");
  EXPECT_EQ(Unpacked(files[1]), "");
}

TEST(AcceptsGzip, FollowsTheHeader) {
  for (const char* yes : {"gzip", "gzip, deflate, br", "br;q=1, GZip ; q=0.5", "*", "deflate,*;q=1",
                          "x-gzip", "gzip;q=1.0", "identity, gzip"}) {
    EXPECT_TRUE(AcceptsGzip(yes)) << yes;
  }
  for (const char* no : {"", "identity", "br", "gzip;q=0", "gzip; q=0.000, *", "*;q=0", "gzipped",
                         "gzip;Q=0", "gzip;q=", " , ;"}) {
    EXPECT_FALSE(AcceptsGzip(no)) << no;
  }
}

}  // namespace
}  // namespace pelton
