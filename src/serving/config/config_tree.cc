#include "serving/config/config_tree.h"

#include <fmt/format.h>

#include "base/mapped_file.h"
#include "serving/config/config_limits.h"

namespace pelton {

std::string ConfigNode::Place() const { return fmt::format("line {}, column {}", line, column); }

Result<ConfigNode> ReadConfigFile(const std::string& path) {
  ASSIGN_OR_RETURN(const MappedFile file, MappedFile::Open(path));
  const std::string text(reinterpret_cast<const char*>(file.bytes().data()),
                         std::min(file.bytes().size(), kMaxConfigBytes + 1));
  Result<ConfigNode> tree = path.ends_with(".toml") ? ParseTomlConfig(text) : ParseYamlConfig(text);
  if (!tree.ok()) return tree.status().WithContext(path);
  return tree;
}

}  // namespace pelton
