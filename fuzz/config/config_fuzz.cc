#include <cstddef>
#include <cstdint>
#include <string_view>

#include "serving/config/config_limits.h"
#include "serving/config/config_tree.h"

// Any text as a configuration: an even first byte for YAML, an odd one for TOML. What is accepted
// is a map within the limits, whose names are there and differ and whose places lie in the text; a
// refusal says why.

namespace pelton {
namespace {

void Check(bool condition) {
  if (!condition) __builtin_trap();
}

// Returns the values below and with the node.
size_t CheckNode(const ConfigNode& node, size_t lines, size_t depth) {
  Check(depth <= kMaxConfigDepth);
  Check(node.line >= 1 && node.line <= lines && node.column >= 1);
  Check(node.kind == ConfigNode::Kind::kScalar || node.text.empty());
  Check(node.kind == ConfigNode::Kind::kList || node.items.empty());
  Check(node.kind == ConfigNode::Kind::kMap || node.members.empty());
  size_t nodes = 1;
  for (const ConfigNode& item : node.items) nodes += CheckNode(item, lines, depth + 1);
  for (size_t i = 0; i < node.members.size(); ++i) {
    Check(!node.members[i].name.empty());
    for (size_t j = 0; j < i && i < 100; ++j) {
      Check(node.members[i].name != node.members[j].name);
    }
    nodes += CheckNode(node.members[i].value, lines, depth + 1);
  }
  return nodes;
}

void RunOne(std::string_view input) {
  const bool toml = !input.empty() && (input.front() & 1) != 0;
  const std::string_view text = input.substr(input.empty() ? 0 : 1);
  const Result<ConfigNode> tree = toml ? ParseTomlConfig(text) : ParseYamlConfig(text);
  if (!tree.ok()) {
    Check(tree.status().code() == StatusCode::kInvalidArgument);
    Check(!tree.status().message().empty() && tree.status().message().size() < 16'384);
    return;
  }
  Check(tree->kind == ConfigNode::Kind::kMap);
  // Any of these may end a line; each costs one byte at least.
  Check(CheckNode(*tree, text.size() + 1, 0) <= kMaxConfigNodes + 1);
}

}  // namespace
}  // namespace pelton

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  pelton::RunOne({reinterpret_cast<const char*>(data), size});
  return 0;
}
