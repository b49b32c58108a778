#include <fmt/format.h>
#include <yaml-cpp/eventhandler.h>
#include <yaml-cpp/exceptions.h>
#include <yaml-cpp/parser.h>

#include <algorithm>
#include <exception>
#include <istream>
#include <streambuf>

#include "serving/config/config_limits.h"
#include "serving/config/config_tree.h"

namespace pelton {
namespace {

// Reads a text without a copy.
class TextBuffer final : public std::streambuf {
 public:
  explicit TextBuffer(std::string_view text) {
    char* begin = const_cast<char*>(text.data());  // the interface's type; nothing is written
    setg(begin, begin, begin + text.size());
  }
};

// Builds the tree from the parser's events. The parser cannot be stopped, so that after the first
// problem the rest is passed over.
class TreeBuilder final : public YAML::EventHandler {
 public:
  const Status& status() const { return status_; }
  ConfigNode TakeRoot() { return std::move(root_); }

  void OnDocumentStart(const YAML::Mark&) override {}
  void OnDocumentEnd() override {}
  void OnNull(const YAML::Mark& mark, YAML::anchor_t anchor) override {
    if (anchor != 0) return Fail(mark, "found an anchor, which configurations have not");
    Add(mark, {});
  }
  void OnAlias(const YAML::Mark& mark, YAML::anchor_t) override {
    Fail(mark, "found an alias, which configurations have not");
  }
  void OnScalar(const YAML::Mark& mark, const std::string& tag, YAML::anchor_t anchor,
                const std::string& value) override {
    if (!CheckPlain(mark, tag, anchor)) return;
    // "?" is the tag of a plain scalar, "!" that of a quoted one.
    Add(mark, {.kind = ConfigNode::Kind::kScalar, .text = value});
  }
  void OnSequenceStart(const YAML::Mark& mark, const std::string& tag, YAML::anchor_t anchor,
                       YAML::EmitterStyle::value) override {
    if (CheckPlain(mark, tag, anchor)) Open(mark, ConfigNode::Kind::kList);
  }
  void OnSequenceEnd() override { Close(); }
  void OnMapStart(const YAML::Mark& mark, const std::string& tag, YAML::anchor_t anchor,
                  YAML::EmitterStyle::value) override {
    if (CheckPlain(mark, tag, anchor)) Open(mark, ConfigNode::Kind::kMap);
  }
  void OnMapEnd() override { Close(); }

 private:
  // A map or list that is being filled.
  struct Level {
    ConfigNode node;
    std::string name;  // of the member whose value comes next
    bool named = false;
  };

  void Fail(const YAML::Mark& mark, std::string_view what) {
    if (!status_.ok()) return;
    status_ = InvalidArgument(
        fmt::format("line {}, column {}: {}", mark.line + 1, mark.column + 1, what));
  }

  bool CheckPlain(const YAML::Mark& mark, const std::string& tag, YAML::anchor_t anchor) {
    if (anchor != 0) Fail(mark, "found an anchor, which configurations have not");
    if (!tag.empty() && tag != "?" && tag != "!") {
      Fail(mark, "found a tag, which configurations have not");
    }
    return status_.ok();
  }

  void Add(const YAML::Mark& mark, ConfigNode node) {
    if (!status_.ok()) return;
    if (++nodes_ > kMaxConfigNodes) {
      return Fail(mark, fmt::format("found more than {} values", kMaxConfigNodes));
    }
    node.line = static_cast<size_t>(std::max(mark.line, 0)) + 1;
    node.column = static_cast<size_t>(std::max(mark.column, 0)) + 1;
    if (levels_.empty()) {
      root_ = std::move(node);
      return;
    }
    Level& level = levels_.back();
    if (level.node.kind == ConfigNode::Kind::kList) {
      level.node.items.push_back(std::move(node));
      return;
    }
    if (!level.named) return Name(mark, node);
    level.named = false;
    level.node.members.push_back({std::move(level.name), std::move(node)});
  }

  void Name(const YAML::Mark& mark, const ConfigNode& node) {
    Level& level = levels_.back();
    if (node.kind != ConfigNode::Kind::kScalar || node.text.empty() ||
        node.text.size() > kMaxConfigName) {
      return Fail(mark, "found no name before a value");
    }
    for (const auto& [name, value] : level.node.members) {
      if (name == node.text) {
        return Fail(mark, fmt::format("\"{}\" is given twice, first in line {}", name, value.line));
      }
    }
    level.name = node.text;
    level.named = true;
  }

  void Open(const YAML::Mark& mark, ConfigNode::Kind kind) {
    if (levels_.size() >= kMaxConfigDepth) {
      return Fail(mark, fmt::format("found values nested deeper than {}", kMaxConfigDepth));
    }
    if (!levels_.empty() && levels_.back().node.kind == ConfigNode::Kind::kMap &&
        !levels_.back().named) {
      return Fail(mark, "found no name before a value");
    }
    ConfigNode node{.kind = kind};
    node.line = static_cast<size_t>(std::max(mark.line, 0)) + 1;
    node.column = static_cast<size_t>(std::max(mark.column, 0)) + 1;
    levels_.push_back({.node = std::move(node), .name = "", .named = false});
  }

  void Close() {
    if (!status_.ok() || levels_.empty()) return;
    ConfigNode node = std::move(levels_.back().node);
    levels_.pop_back();
    const YAML::Mark mark = [&] {
      YAML::Mark at;
      at.line = static_cast<int>(node.line) - 1;
      at.column = static_cast<int>(node.column) - 1;
      return at;
    }();
    Add(mark, std::move(node));
  }

  ConfigNode root_;
  std::vector<Level> levels_;
  size_t nodes_ = 0;
  Status status_;
};

}  // namespace

Result<ConfigNode> ParseYamlConfig(std::string_view text) {
  if (text.size() > kMaxConfigBytes) return InvalidArgument("found more than 256 KiB");
  if (text.find('\0') != std::string_view::npos) {
    return InvalidArgument("found a NUL byte, which no configuration has");
  }
  TextBuffer buffer(text);
  std::istream stream(&buffer);
  TreeBuilder builder;
  try {
    YAML::Parser parser(stream);
    if (!parser.HandleNextDocument(builder)) return ConfigNode{.kind = ConfigNode::Kind::kMap};
    TreeBuilder second;
    if (builder.status().ok() && parser.HandleNextDocument(second)) {
      return InvalidArgument("found more than one document");
    }
  } catch (const YAML::Exception& error) {
    if (!builder.status().ok()) return builder.status();
    return InvalidArgument(fmt::format("line {}, column {}: {}", error.mark.line + 1,
                                       error.mark.column + 1, error.msg));
  } catch (const std::exception& error) {
    return InvalidArgument(fmt::format("is no YAML: {}", error.what()));
  }
  RETURN_IF_ERROR(builder.status());
  ConfigNode root = builder.TakeRoot();
  if (root.kind == ConfigNode::Kind::kNull) root.kind = ConfigNode::Kind::kMap;
  if (root.kind != ConfigNode::Kind::kMap) {
    return InvalidArgument(root.Place() + ": found no names and values");
  }
  return root;
}

}  // namespace pelton
