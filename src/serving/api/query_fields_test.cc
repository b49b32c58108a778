#include "serving/api/query_fields.h"

#include <gtest/gtest.h>

namespace pelton {
namespace {

TEST(QueryFields, ReadsWhatIsAskedFor) {
  QueryFields query("limit=5&order=asc&after=a%2Fb+c&include[]=x&include%5B%5D=y&");
  PageQuery page;
  page.Read(query, 100);
  std::vector<std::string> include;
  query.Strings("include", &include);
  EXPECT_FALSE(query.Error());
  EXPECT_EQ(page.limit, 5u);
  EXPECT_TRUE(page.ascending);
  EXPECT_EQ(page.after, "a/b c");
  EXPECT_EQ(include, (std::vector<std::string>{"x", "y"}));
}

// The name of the field that fails.
std::string Failure(std::string_view text) {
  QueryFields query(text);
  PageQuery page;
  page.Read(query, 100);
  const std::optional<ApiError> error = query.Error();
  return error ? error->param + "|" + error->message : "none";
}

TEST(QueryFields, NamesWhatFails) {
  EXPECT_EQ(Failure(""), "none");
  EXPECT_EQ(Failure("limit=0").substr(0, 12), "limit|limit:");
  EXPECT_EQ(Failure("limit=101").substr(0, 6), "limit|");
  EXPECT_EQ(Failure("limit=-1").substr(0, 6), "limit|");
  EXPECT_EQ(Failure("limit=1x").substr(0, 6), "limit|");
  EXPECT_EQ(Failure("order=up").substr(0, 6), "order|");
  EXPECT_EQ(Failure("limit=1&limit=2"), "limit|limit: found it twice");
  EXPECT_EQ(Failure("what=1"), "what|unknown field \"what\" of the query");
  for (const char* broken : {"limit=%", "limit=%1", "limit=%zz", "%=1"}) {
    EXPECT_EQ(Failure(broken).front(), '|') << broken;
  }
}

std::string Indices(const PageQuery& query) {
  Page page;
  if (TakePage(query, {"a", "b", "c", "d"}, &page)) return "refused";
  std::string text;
  for (const size_t idx : page.indices) text += std::to_string(idx);
  return text + (page.has_more ? "+" : "");
}

TEST(TakePage, GoesBothWays) {
  EXPECT_EQ(Indices({.limit = 3}), "321+");
  EXPECT_EQ(Indices({.limit = 3, .after = "b"}), "0");
  EXPECT_EQ(Indices({.limit = 3, .after = "a"}), "");
  EXPECT_EQ(Indices({.limit = 2, .ascending = true}), "01+");
  EXPECT_EQ(Indices({.limit = 2, .ascending = true, .after = "b"}), "23");
  EXPECT_EQ(Indices({.limit = 4, .ascending = true, .after = "d"}), "");
  EXPECT_EQ(Indices({.after = "x"}), "refused");
}

}  // namespace
}  // namespace pelton
