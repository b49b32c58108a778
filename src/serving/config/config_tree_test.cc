#include "serving/config/config_tree.h"

#include <fmt/format.h>
#include <gtest/gtest.h>

#include <filesystem>
#include <fstream>

namespace pelton {
namespace {

// One line for each value: "a.b[0] = text @line:column".
void Print(const ConfigNode& node, const std::string& name, std::string* out) {
  for (const auto& [key, value] : node.members) {
    Print(value, name.empty() ? key : fmt::format("{}.{}", name, key), out);
  }
  for (size_t i = 0; i < node.items.size(); ++i) {
    Print(node.items[i], fmt::format("{}[{}]", name, i), out);
  }
  if (node.kind == ConfigNode::Kind::kScalar) *out += name + " = " + node.text + "\n";
  if (node.kind == ConfigNode::Kind::kNull) *out += name + " is null\n";
}

std::string Printed(const Result<ConfigNode>& tree) {
  if (!tree.ok()) return tree.status().message();
  std::string out;
  Print(*tree, "", &out);
  return out;
}

TEST(ConfigTreeTest, YamlAndTomlSayTheSame) {
  const std::string wanted =
      "port = 8081\nctx = 2048\nverbose = true\nmodels[0].name = a\nmodels[0].aliases[0] = x y\n"
      "models[0].aliases[1] = z\nmodels[1].name = b\n";
  EXPECT_EQ(Printed(ParseYamlConfig(R"(# a comment
port: 8081
ctx: "2048"
verbose: true
models:
  - name: a
    aliases: [x y, 'z']
  - {name: b}
)")),
            wanted);
  EXPECT_EQ(Printed(ParseTomlConfig(R"(# a comment
port = 8081
ctx = "2048"
verbose = true
[[models]]
name = "a"
aliases = ["x y", "z"]
[[models]]
name = "b"
)")),
            wanted);
}

TEST(ConfigTreeTest, NothingIsAnEmptyMap) {
  for (const char* text : {"", "# only a comment\n", "---\n", "~"}) {
    const auto tree = ParseYamlConfig(text);
    ASSERT_TRUE(tree.ok()) << text << tree.status().message();
    EXPECT_EQ(tree->kind, ConfigNode::Kind::kMap);
    EXPECT_TRUE(tree->members.empty());
  }
  EXPECT_TRUE(ParseTomlConfig("")->members.empty());
  EXPECT_EQ(Printed(ParseYamlConfig("a:\nb: ~\n")), "a is null\nb is null\n");
}

TEST(ConfigTreeTest, KnowsPlaces) {
  const auto yaml = ParseYamlConfig("a: 1\nbb:\n  c: 2\n");
  EXPECT_EQ(yaml->members[1].value.members[0].value.Place(), "line 3, column 6");
  const auto toml = ParseTomlConfig("a = 1\n[bb]\nc = 2\n");
  EXPECT_EQ(toml->members[1].value.members[0].value.Place(), "line 3, column 5");
}

TEST(ConfigTreeTest, RefusesWithThePlace) {
  for (const auto& [text, word] : std::initializer_list<std::pair<std::string, std::string>>{
           {"- a\n- b\n", "names and values"},
           {"just text", "names and values"},
           {"a: 1\na: 2\n", "line 2, column 1: \"a\" is given twice, first in line 1"},
           {"a: &x 1\nb: 2\n", "line 1, column 4: found an anchor"},
           {"a: &x [1]\nb: [*x,*x]\n", "anchor"},
           {"a: !!int 1\n", "tag"},
           {"a: [1, 2\n", "line"},
           {"a: 1\n b: 2\n", "line 2"},
           {"[a]: 1\n", "no name"},
           {"{a: 1}: 2\n", "no name"},
           {"a: 1\n---\nb: 2\n", "more than one document"},
           {std::string("a: \0", 4), "NUL"},
           {"a: [[[[[[[[[[1]]]]]]]]]]\n", "nested deeper than 8"},
           {"a: " + std::string(100'000, '['), "line 1"},
           {"a: [" +
                [] {
                  std::string many;
                  for (int i = 0; i < 20'000; ++i) many += "1,";
                  return many;
                }() +
                "]\n",
            "more than 10000"},
           {std::string(300'000, '#'), "256 KiB"}}) {
    const auto tree = ParseYamlConfig(text);
    ASSERT_FALSE(tree.ok()) << text.substr(0, 50);
    EXPECT_EQ(tree.status().code(), StatusCode::kInvalidArgument);
    EXPECT_NE(tree.status().message().find(word), std::string::npos) << tree.status().message();
  }
  for (const auto& [text, word] : std::initializer_list<std::pair<std::string, std::string>>{
           {"a = 1\na = 2\n", "line 2"},
           {"a = \n", "line 1"},
           {"a = 2020-01-01\n", "date"},
           {"a = 1\nb = \xEF\xBB\xBD\n", "line 2, column 5: found a character that is not ASCII"},
           {"\"\" = 1\n", "no name"},
           {"a = " + std::string(9, '[') + std::string(9, ']') + "\n", "nested deeper than 8"},
           {"a = " + std::string(100'000, '['), "line 1"}}) {
    const auto tree = ParseTomlConfig(text);
    ASSERT_FALSE(tree.ok()) << text.substr(0, 50);
    EXPECT_NE(tree.status().message().find(word), std::string::npos) << tree.status().message();
  }
}

TEST(ConfigTreeTest, ReadsFilesByTheirNames) {
  const std::string folder = testing::TempDir() + "/pelton_config";
  std::filesystem::create_directories(folder);
  std::ofstream(folder + "/a.yaml") << "port: 1\n";
  std::ofstream(folder + "/a.toml") << "port = 1\n";
  std::ofstream(folder + "/b.toml") << "port: 1\n";
  EXPECT_EQ(Printed(ReadConfigFile(folder + "/a.yaml")), "port = 1\n");
  EXPECT_EQ(Printed(ReadConfigFile(folder + "/a.toml")), "port = 1\n");
  EXPECT_NE(ReadConfigFile(folder + "/b.toml").status().message().find("b.toml: line 1"),
            std::string::npos);
  EXPECT_EQ(ReadConfigFile(folder + "/none").status().code(), StatusCode::kNotFound);
  std::filesystem::remove_all(folder);
}

}  // namespace
}  // namespace pelton
