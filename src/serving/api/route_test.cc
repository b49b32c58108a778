#include "serving/api/route.h"

#include <gtest/gtest.h>

namespace pelton {
namespace {

std::string Plain(const ApiError& error) { return "plain " + error.message; }
std::string Other(const ApiError& error) { return "other " + error.message; }

RouteTable Table() {
  RouteTable table(&Plain);
  table.Add({.errors = &Plain,
             .routes = {{.method = "GET", .path = "/models", .versioned = true},
                        {.method = "GET", .path = "/models/*", .versioned = true},
                        {.method = "POST", .path = "/chat", .versioned = true},
                        {.method = "GET", .path = "/health"}}});
  table.Add({.root = "/api/",
             .errors = &Other,
             .routes = {{.method = "POST", .path = "/api/chat"},
                        {.method = "POST", .path = "/v1/messages"},
                        {.method = "GET", .path = "/things/*"},
                        {.method = "DELETE", .path = "/things/*"}}});
  return table;
}

TEST(RouteTable, FindsRoutesAndTails) {
  const RouteTable table = Table();
  const auto find = [&](std::string_view method, std::string_view path) {
    RouteTable::Match match;
    if (!table.Find(method, path, &match)) return std::string("none");
    return table.routes()[match.idx].path + " " + std::string(match.tail);
  };
  EXPECT_EQ(find("GET", "/models"), "/models ");
  EXPECT_EQ(find("HEAD", "/v1/models"), "/models ");
  EXPECT_EQ(find("GET", "/v1/models/a/b"), "/models/* a/b");
  EXPECT_EQ(find("GET", "/models/"), "none");
  EXPECT_EQ(find("GET", "/v1/health"), "none");
  EXPECT_EQ(find("GET", "/v1/v1/models"), "none");
  EXPECT_EQ(find("POST", "/messages"), "none");
  EXPECT_EQ(find("GET", "/chat"), "none");
  EXPECT_EQ(find("", ""), "none");
}

TEST(RouteTable, NamesTheMethodsOfAPath) {
  const RouteTable table = Table();
  EXPECT_EQ(table.Allowed("/v1/chat"), "POST");
  EXPECT_EQ(table.Allowed("/things/x"), "GET, DELETE");
  EXPECT_EQ(table.Allowed("/nothing"), "");
}

TEST(RouteTable, KnowsTheFormOfErrors) {
  const RouteTable table = Table();
  const ApiError error{.message = "x"};
  EXPECT_EQ(table.ErrorsOf("/v1/messages")(error), "other x");
  EXPECT_EQ(table.ErrorsOf("/api/nothing")(error), "other x");
  EXPECT_EQ(table.ErrorsOf("/v1/chat")(error), "plain x");
  EXPECT_EQ(table.ErrorsOf("")(error), "plain x");
}

TEST(ErrorAnswer, SaysWhereTryingAgainHelps) {
  const HttpAnswer busy = ErrorAnswer({.status = 503, .message = "x"}, &Plain, {{"A", "b"}});
  ASSERT_EQ(busy.headers.size(), 3u);
  EXPECT_EQ(busy.headers[2].name, "Retry-After");
  EXPECT_EQ(busy.body, "plain x");
  EXPECT_EQ(ErrorAnswer({.message = "x"}, &Plain).headers.size(), 1u);
}

}  // namespace
}  // namespace pelton
