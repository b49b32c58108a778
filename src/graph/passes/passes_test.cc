// Every case in tests/graph/*.ir: a graph, the pass, the graph that must come out. The cases are
// text so that a change of a pass shows as a readable difference.
#include "graph/passes/passes.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <filesystem>
#include <fstream>
#include <sstream>

#include "graph/ir/text.h"
#include "graph/ir/verify.h"

namespace pelton {
namespace {

std::string ReadFile(const std::filesystem::path& path) {
  std::ifstream file(path);
  std::stringstream text;
  text << file.rdbuf();
  return text.str();
}

Graph Parsed(std::string_view text) {
  Result<Graph> graph = ParseGraph(text);
  EXPECT_TRUE(graph.ok()) << graph.status().message();
  return graph.ok() ? std::move(graph).value() : Graph();
}

// A file holds "== pass NAME", the graph before, "== gives", and the graph after.
TEST(PassesTest, TextInTextOut) {
  size_t cases = 0;
  std::vector<std::string> tested;
  std::vector<std::filesystem::path> files;
  for (const auto& entry : std::filesystem::directory_iterator("tests/graph")) {
    files.push_back(entry.path());
  }
  std::sort(files.begin(), files.end());
  for (const std::filesystem::path& path : files) {
    SCOPED_TRACE(path.string());
    const std::string text = ReadFile(path);
    const size_t first_line = text.find('\n');
    const size_t gives = text.find("== gives\n");
    ASSERT_EQ(text.rfind("== pass ", 0), 0u);
    ASSERT_NE(gives, std::string::npos);
    const std::string name = text.substr(8, first_line - 8);
    const auto pass = std::find_if(AllPasses().begin(), AllPasses().end(),
                                   [&](const Pass& p) { return p.name == name; });
    ASSERT_NE(pass, AllPasses().end()) << name;
    Graph graph = Parsed(text.substr(first_line + 1, gives - first_line - 1));
    EXPECT_TRUE(VerifyGraph(graph).ok());
    pass->run(graph);
    EXPECT_TRUE(VerifyGraph(graph).ok()) << VerifyGraph(graph).message();
    const std::string want = GraphToText(Parsed(text.substr(gives + 9)));
    EXPECT_EQ(GraphToText(graph), want);
    tested.push_back(name);
    ++cases;
  }
  for (const Pass& pass : AllPasses()) {
    if (pass.name == "remove-unread") continue;  // the same function as remove-dead-code
    EXPECT_NE(std::find(tested.begin(), tested.end(), pass.name), tested.end())
        << pass.name << " has no case in tests/graph";
  }
  EXPECT_GE(cases, 13u);
}

TEST(PassesTest, OptionsNameWhatIsWrong) {
  Graph graph;
  EXPECT_NE(RunPasses({.fusion_level = 4}, graph).status().message().find("found 4"),
            std::string::npos);
  EXPECT_NE(RunPasses({.switched_off = {"nope"}}, graph).status().message().find("\"nope\""),
            std::string::npos);
  EXPECT_NE(RunPasses({.switched_on = {"nope"}}, graph).status().message().find("switch on"),
            std::string::npos);
  EXPECT_FALSE(RunPasses({.switched_off = {"pack-weights"}}, graph).ok());
}

}  // namespace
}  // namespace pelton
