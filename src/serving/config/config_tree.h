#pragma once

#include <cstddef>
#include <string>
#include <string_view>
#include <vector>

#include "base/status.h"

namespace pelton {

struct ConfigMember;

// A configuration file as a tree of texts; what they mean is its readers' matter.
struct ConfigNode {
  enum class Kind { kNull, kScalar, kList, kMap };
  Kind kind = Kind::kNull;
  std::string text;  // of a scalar, without quotes
  std::vector<ConfigNode> items;
  std::vector<ConfigMember> members;  // of a map, in the file's order; names differ
  size_t line = 1, column = 1;        // of its begin

  // "line 3, column 5".
  std::string Place() const;
};

struct ConfigMember {
  std::string name;
  ConfigNode value;
};

// Reads a map of names at the top, as YAML or TOML. InvalidArgument with line and column if it is
// none, is larger than 256 KiB, holds more than 10000 values or nests deeper than 8, gives a name
// twice, or uses what configurations do not need: YAML's anchors, aliases and tags, several
// documents, TOML's dates and characters beyond ASCII. Takes time linear in the text.
Result<ConfigNode> ParseYamlConfig(std::string_view text);
Result<ConfigNode> ParseTomlConfig(std::string_view text);

// A file as TOML if its name ends in .toml, else as YAML. NotFound or InvalidArgument, naming it.
Result<ConfigNode> ReadConfigFile(const std::string& path);

}  // namespace pelton
