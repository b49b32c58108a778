#include <fmt/format.h>

#define TOML_EXCEPTIONS 0
#define TOML_HEADER_ONLY 1
#define TOML_ENABLE_FORMATTERS 0
#include <toml++/toml.h>

#include <algorithm>

#include "serving/config/config_limits.h"
#include "serving/config/config_tree.h"

namespace pelton {
namespace {

// Copies a parsed document, within the limits.
class TreeCopier {
 public:
  Result<ConfigNode> Copy(const toml::node& from, size_t depth) {
    ConfigNode node;
    node.line = std::max<size_t>(from.source().begin.line, 1);
    node.column = std::max<size_t>(from.source().begin.column, 1);
    if (++nodes_ > kMaxConfigNodes) {
      return Refuse(node, fmt::format("found more than {} values", kMaxConfigNodes));
    }
    const bool nested = from.is_table() || from.is_array();
    if (nested && depth >= kMaxConfigDepth) {
      return Refuse(node, fmt::format("found values nested deeper than {}", kMaxConfigDepth));
    }
    if (const toml::table* table = from.as_table()) {
      node.kind = ConfigNode::Kind::kMap;
      for (const auto& [key, value] : *table) {
        if (key.str().empty() || key.str().size() > kMaxConfigName) {
          return Refuse(node, "found no name before a value");
        }
        ASSIGN_OR_RETURN(ConfigNode member, Copy(value, depth + 1));
        node.members.push_back({std::string(key.str()), std::move(member)});
      }
      // The table sorts its names; a reader's messages follow the file.
      std::sort(node.members.begin(), node.members.end(),
                [](const ConfigMember& a, const ConfigMember& b) {
                  return std::pair(a.value.line, a.value.column) <
                         std::pair(b.value.line, b.value.column);
                });
      return node;
    }
    if (const toml::array* array = from.as_array()) {
      node.kind = ConfigNode::Kind::kList;
      for (const toml::node& value : *array) {
        ASSIGN_OR_RETURN(ConfigNode item, Copy(value, depth + 1));
        node.items.push_back(std::move(item));
      }
      return node;
    }
    node.kind = ConfigNode::Kind::kScalar;
    if (const auto* text = from.as_string()) {
      node.text = text->get();
    } else if (const auto* whole = from.as_integer()) {
      node.text = fmt::format("{}", whole->get());
    } else if (const auto* number = from.as_floating_point()) {
      node.text = fmt::format("{}", number->get());
    } else if (const auto* yes = from.as_boolean()) {
      node.text = yes->get() ? "true" : "false";
    } else {
      return Refuse(node, "found a date or time, which configurations have not");
    }
    return node;
  }

 private:
  static Status Refuse(const ConfigNode& node, std::string_view what) {
    return InvalidArgument(fmt::format("{}: {}", node.Place(), what));
  }

  size_t nodes_ = 0;
};

}  // namespace

Result<ConfigNode> ParseTomlConfig(std::string_view text) {
  if (text.size() > kMaxConfigBytes) return InvalidArgument("found more than 256 KiB");
  // Outside of texts some such characters are undefined behaviour in version 3.3 of the library.
  size_t line = 1, begin = 0;
  for (size_t i = 0; i < text.size(); ++i) {
    if (static_cast<unsigned char>(text[i]) >= 0x80) {
      return InvalidArgument(fmt::format(
          "line {}, column {}: found a character that is not ASCII, expected \\uXXXX in "
          "its place",
          line, i - begin + 1));
    }
    if (text[i] == '\n') {
      ++line;
      begin = i + 1;
    }
  }
  const toml::parse_result result = toml::parse(text);
  if (!result) {
    const toml::source_position at = result.error().source().begin;
    return InvalidArgument(
        fmt::format("line {}, column {}: {}", at.line, at.column, result.error().description()));
  }
  return TreeCopier().Copy(result.table(), 0);
}

}  // namespace pelton
