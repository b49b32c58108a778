#include "configuration.h"

#include <fmt/format.h>

#include <algorithm>
#include <charconv>
#include <cmath>

#include "base/nearest.h"
#include "command.h"

namespace pelton {
namespace {

std::string Normal(std::string_view name) {
  std::string normal(name);
  std::replace(normal.begin(), normal.end(), '_', '-');
  return normal;
}

// The names without dashes by which files may call an option: "ctx", "ctx-size"; for a positional
// argument its own.
std::vector<std::string> FileNames(const Option& option) {
  if (option.positional()) return {option.names};
  std::vector<std::string> names;
  std::string_view left = option.names;
  while (!left.empty()) {
    const std::string_view name = left.substr(0, left.find(','));
    left.remove_prefix(std::min(left.size(), name.size() + 1));
    if (name.rfind("--", 0) == 0) names.emplace_back(name.substr(2));
  }
  return names;
}

std::string Shown(const ConfigNode& value) {
  switch (value.kind) {
    case ConfigNode::Kind::kNull:
      return "nothing";
    case ConfigNode::Kind::kList:
      return "a list";
    case ConfigNode::Kind::kMap:
      return "names and values";
    case ConfigNode::Kind::kScalar:
      return fmt::format("\"{}\"", value.text.substr(0, 40));
  }
  return "";
}

template <typename Number>
bool ReadNumber(const std::string& text, Number* out) {
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), *out);
  return error == std::errc() && end == text.data() + text.size() && !text.empty();
}

bool ReadSwitch(const std::string& text, bool* out) {
  for (const char* yes : {"true", "yes", "on", "1"}) {
    if (text == yes) return *out = true;
  }
  for (const char* no : {"false", "no", "off", "0"}) {
    if (text == no) {
      *out = false;
      return true;
    }
  }
  return false;
}

// What was expected instead; empty if the value was taken.
std::string Take(const ConfigNode& value, bool* out) {
  if (value.kind == ConfigNode::Kind::kScalar && ReadSwitch(value.text, out)) return "";
  return "true or false";
}
std::string Take(const ConfigNode& value, int64_t* out) {
  if (value.kind == ConfigNode::Kind::kScalar && ReadNumber(value.text, out)) return "";
  return "a whole number";
}
std::string Take(const ConfigNode& value, double* out) {
  if (value.kind == ConfigNode::Kind::kScalar && ReadNumber(value.text, out) &&
      std::isfinite(*out)) {
    return "";
  }
  return "a number";
}
std::string Take(const ConfigNode& value, std::string* out) {
  if (value.kind != ConfigNode::Kind::kScalar) return "a text";
  *out = value.text;
  return "";
}
std::string Take(const ConfigNode& value, std::vector<std::string>* out) {
  out->clear();
  if (value.kind == ConfigNode::Kind::kScalar) {
    out->push_back(value.text);
    return "";
  }
  if (value.kind != ConfigNode::Kind::kList) return "a text or a list of texts";
  for (const ConfigNode& item : value.items) {
    if (item.kind != ConfigNode::Kind::kScalar) return "a list of texts";
    out->push_back(item.text);
  }
  return "";
}

bool IsSecret(const Option& option) {
  const std::string name = option.LongName();
  return name == "api-key" || name.ends_with("-token");
}

// As YAML: plain where that cannot be taken for something else.
std::string Quoted(const std::string& text) {
  const bool plain = !text.empty() && std::all_of(text.begin(), text.end(), [](char c) {
    return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '.' ||
           c == '_' || c == '-' || c == '/';
  });
  if (plain && text.front() != '-') return text;
  std::string quoted = "\"";
  for (const char c : text) {
    if (c == '"' || c == '\\') quoted += '\\';
    quoted += c;
  }
  return quoted + "\"";
}

}  // namespace

std::string_view ValueSourceName(ValueSource source) {
  switch (source) {
    case ValueSource::kDefault:
      return "default";
    case ValueSource::kFile:
      return "file";
    case ValueSource::kEnvironment:
      return "environment";
    case ValueSource::kCommandLine:
      return "command line";
  }
  return "";
}

Status Configuration::Error(const ConfigNode& node, std::string_view what) const {
  return InvalidArgument(fmt::format("{}: {}: {}", path, node.Place(), what));
}

const ConfigNode* Configuration::Find(std::string_view name) const {
  for (const auto& [key, value] : tree.members) {
    if (Normal(key) == name) return &value;
  }
  return nullptr;
}

const Option* FindOption(const std::vector<Option>& options, std::string_view name) {
  const std::string normal = Normal(name);
  for (const Option& option : options) {
    const std::vector<std::string> names = FileNames(option);
    if (std::find(names.begin(), names.end(), normal) != names.end()) return &option;
  }
  return nullptr;
}

Status SetOption(const Option& option, const ConfigNode& value) {
  if (value.kind == ConfigNode::Kind::kNull) return OkStatus();  // as if it were not there
  const std::string expected =
      std::visit([&](auto* target) { return Take(value, target); }, option.target);
  if (!expected.empty()) {
    return InvalidArgument(
        fmt::format("{}: found {}, expected {}", option.LongName(), Shown(value), expected));
  }
  const auto* text = std::get_if<std::string*>(&option.target);
  if (option.choices.empty() || text == nullptr ||
      std::find(option.choices.begin(), option.choices.end(), **text) != option.choices.end()) {
    return OkStatus();
  }
  return InvalidArgument(fmt::format("{}: found {}, expected {}", option.LongName(), Shown(value),
                                     fmt::join(option.choices, " or ")));
}

Status SetOptions(const Configuration& configuration, const std::vector<Option>& options,
                  const ConfigNode& map, const std::function<bool(const Option&)>& skip) {
  std::map<const Option*, std::string> given;
  for (const auto& [name, value] : map.members) {
    const std::string normal = Normal(name);
    const Option* option = FindOption(options, name);
    const std::vector<std::string>& own = configuration.own_names;
    const bool is_own =
        &map == &configuration.tree && std::find(own.begin(), own.end(), normal) != own.end();
    // A list of that name is the command's own; a text may be an option.
    if (is_own && (option == nullptr || value.kind == ConfigNode::Kind::kList)) continue;
    if (option == nullptr) {
      std::vector<std::string> known = own;
      for (const Option& each : options) {
        for (std::string& file_name : FileNames(each)) known.push_back(std::move(file_name));
      }
      const std::string nearest = Nearest(normal, known);
      return configuration.Error(
          value,
          fmt::format("unknown name \"{}\"{}", name.substr(0, 60),
                      nearest.empty() ? "" : fmt::format("; did you mean \"{}\"?", nearest)));
    }
    // Under two of its names it could have two values.
    if (const auto [first, fresh] = given.emplace(option, name); !fresh) {
      return configuration.Error(
          value, fmt::format("\"{}\" and \"{}\" are the same", first->second, name));
    }
    if (skip(*option)) continue;
    if (const Status status = SetOption(*option, value); !status.ok()) {
      return configuration.Error(value, status.message());
    }
  }
  return OkStatus();
}

std::string ValueText(const Option& option) {
  struct Printer {
    std::string operator()(const bool* value) const { return *value ? "true" : "false"; }
    std::string operator()(const int64_t* value) const { return fmt::format("{}", *value); }
    std::string operator()(const double* value) const { return fmt::format("{}", *value); }
    std::string operator()(const std::string* value) const { return Quoted(*value); }
    std::string operator()(const std::vector<std::string>* value) const {
      std::string list;
      for (const std::string& item : *value) {
        list += (list.empty() ? "" : ", ") + (secret ? "\"***\"" : Quoted(item));
      }
      return "[" + list + "]";
    }
    bool secret;
  };
  return std::visit(Printer{IsSecret(option)}, option.target);
}

}  // namespace pelton
