#include "serving/anthropic/message_blocks.h"

#include <fmt/format.h>

#include <map>
#include <utility>

namespace pelton {
namespace {

// A client's mark of what to cache; whole prefixes are cached without it.
void ReadCacheControl(FieldReader& reader) {
  const Json* control = reader.Find("cache_control");
  if (control == nullptr) return;
  if (!control->is_object()) return reader.Fail("cache_control", "an object");
  FieldReader inner(*control);
  std::string type, ttl;
  inner.String("type", &type);
  inner.String("ttl", &ttl);
  if (type != "ephemeral") inner.Fail("type", "\"ephemeral\"");
  inner.RefuseUnknown();
  reader.Adopt("cache_control", inner);
}

// Reads one conversation; failures go to the reader of the whole request.
class BlockReader {
 public:
  BlockReader(FieldReader& top, Json* out) : top_(top), out_(out) {}

  void ReadSystem(const Json& system) {
    std::string text = TextOf(system, "system");
    if (!text.empty()) out_->push_back({{"role", "system"}, {"content", std::move(text)}});
  }

  void ReadMessage(const Json& message, const std::string& place) {
    if (!message.is_object()) return top_.Refuse(place, place + ": expected an object");
    FieldReader reader(message);
    std::string role;
    reader.String("role", &role);
    const Json* content = reader.Find("content");
    if (role != "user" && role != "assistant" && role != "system") {
      reader.Fail("role", "\"user\", \"assistant\" or \"system\"");
    } else if (content == nullptr || !(content->is_string() || content->is_array())) {
      reader.Fail("content", "a text or a list of blocks");
    }
    reader.RefuseUnknown();
    top_.Adopt(place, reader);
    if (!top_.ok()) return;
    const std::string at = place + ".content";
    if (role == "system") {
      out_->push_back({{"role", role}, {"content", TextOf(*content, at)}});
    } else if (content->is_string()) {
      out_->push_back({{"role", role}, {"content", *content}});
    } else if (role == "user") {
      ReadUserBlocks(*content, at);
    } else {
      ReadAssistantBlocks(*content, at);
    }
  }

 private:
  // The type of a block, which is an object then; empty, and a failure, if it has none.
  std::string TypeOf(const Json& block, const std::string& place) {
    if (block.is_object()) {
      const auto type = block.find("type");
      if (type != block.end() && type->is_string()) return type->get<std::string>();
    }
    top_.Refuse(place, place + ": expected an object with a type");
    return "";
  }

  void RefuseType(const std::string& place, std::string_view type, std::string_view expected) {
    top_.Refuse(place, fmt::format("{}: found a block of type \"{}\", expected {}", place,
                                   type.substr(0, 40), expected));
  }

  std::string ReadText(const Json& block, const std::string& place) {
    FieldReader reader(block);
    reader.Find("type");
    std::string text;
    reader.String("text", &text);
    if (!reader.Has("text")) reader.Fail("text", "a text");
    const Json* citations = reader.Find("citations");
    if (citations != nullptr && *citations != Json::array()) {
      reader.Fail("citations", "nothing: the model reads no citations");
    }
    ReadCacheControl(reader);
    reader.RefuseUnknown();
    top_.Adopt(place, reader);
    return text;
  }

  // The text of a string or of a list of text blocks, each in lines of its own.
  std::string TextOf(const Json& content, const std::string& place) {
    if (content.is_string()) return content.get<std::string>();
    std::string text;
    if (!content.is_array()) {
      top_.Refuse(place, place + ": expected a text or a list of blocks");
      return text;
    }
    for (size_t i = 0; i < content.size() && top_.ok(); ++i) {
      const std::string at = fmt::format("{}[{}]", place, i);
      const std::string type = TypeOf(content[i], at);
      if (!top_.ok()) break;
      if (type != "text") {
        RefuseType(at, type, "text: the model reads no other");
        break;
      }
      if (i > 0) text += "\n";
      text += ReadText(content[i], at);
    }
    return text;
  }

  void ReadUserBlocks(const Json& blocks, const std::string& place) {
    std::string text;
    const auto flush = [&] {
      if (!text.empty()) out_->push_back({{"role", "user"}, {"content", std::exchange(text, "")}});
    };
    const size_t before = out_->size();
    for (size_t i = 0; i < blocks.size() && top_.ok(); ++i) {
      const std::string at = fmt::format("{}[{}]", place, i);
      const std::string type = TypeOf(blocks[i], at);
      if (!top_.ok()) return;
      if (type == "text") {
        text += ReadText(blocks[i], at);
      } else if (type == "tool_result") {
        flush();
        ReadToolResult(blocks[i], at);
      } else {
        return RefuseType(at, type, "text or tool_result: the model reads no other");
      }
    }
    flush();
    if (out_->size() == before) out_->push_back({{"role", "user"}, {"content", ""}});
  }

  void ReadToolResult(const Json& block, const std::string& place) {
    FieldReader reader(block);
    reader.Find("type");
    std::string id;
    bool is_error = false;
    reader.String("tool_use_id", &id);
    if (id.empty()) reader.Fail("tool_use_id", "the id of a tool_use");
    reader.Bool("is_error", &is_error);
    const Json* content = reader.Find("content");
    ReadCacheControl(reader);
    reader.RefuseUnknown();
    top_.Adopt(place, reader);
    Json message = {{"role", "tool"}, {"tool_call_id", id}};
    const auto name = tool_names_.find(id);
    if (name != tool_names_.end()) message["name"] = name->second;
    // Templates know no results that are errors.
    const std::string text = content == nullptr ? "" : TextOf(*content, place + ".content");
    message["content"] = (is_error ? "Error: " : "") + text;
    out_->push_back(std::move(message));
  }

  void ReadAssistantBlocks(const Json& blocks, const std::string& place) {
    std::string text, reasoning;
    Json calls = Json::array();
    for (size_t i = 0; i < blocks.size() && top_.ok(); ++i) {
      const std::string at = fmt::format("{}[{}]", place, i);
      const std::string type = TypeOf(blocks[i], at);
      if (!top_.ok()) return;
      if (type == "text") {
        text += ReadText(blocks[i], at);
      } else if (type == "tool_use") {
        ReadToolUse(blocks[i], at, &calls);
      } else if (type == "thinking") {
        FieldReader reader(blocks[i]);
        reader.Find("type");
        std::string thinking, signature;
        reader.String("thinking", &thinking);
        reader.String("signature", &signature);
        reader.RefuseUnknown();
        top_.Adopt(at, reader);
        reasoning += thinking;
      } else {
        return RefuseType(at, type, "text, thinking or tool_use: the model reads no other");
      }
    }
    Json message = {{"role", "assistant"}, {"content", std::move(text)}};
    if (!reasoning.empty()) message["reasoning_content"] = std::move(reasoning);
    if (!calls.empty()) message["tool_calls"] = std::move(calls);
    out_->push_back(std::move(message));
  }

  void ReadToolUse(const Json& block, const std::string& place, Json* calls) {
    FieldReader reader(block);
    reader.Find("type");
    std::string id, name;
    reader.String("id", &id);
    reader.String("name", &name);
    if (id.empty()) reader.Fail("id", "an id");
    if (name.empty()) reader.Fail("name", "the name of a tool");
    const Json* input = reader.Find("input");
    if (input == nullptr || !input->is_object()) reader.Fail("input", "an object");
    const Json* caller = reader.Find("caller");
    if (caller != nullptr && *caller != Json{{"type", "direct"}}) {
      reader.Fail("caller", "{\"type\":\"direct\"}");
    }
    ReadCacheControl(reader);
    reader.RefuseUnknown();
    top_.Adopt(place, reader);
    if (!top_.ok()) return;
    tool_names_[id] = name;
    calls->push_back(
        {{"id", id}, {"type", "function"}, {"function", {{"name", name}, {"arguments", *input}}}});
  }

  FieldReader& top_;
  Json* const out_;
  std::map<std::string, std::string> tool_names_;  // by the call's id
};

void ReadTool(FieldReader& reader, const std::string& place, const Json& tool, Json* out) {
  if (!tool.is_object()) return reader.Refuse(place, place + ": expected an object");
  FieldReader inner(tool);
  std::string type = "custom", name, description;
  inner.String("type", &type);
  if (type != "custom") inner.Fail("type", "\"custom\": this server has no tools of its own");
  inner.String("name", &name);
  if (name.empty()) inner.Fail("name", "a name");
  inner.String("description", &description);
  const Json* schema = inner.Find("input_schema");
  if (schema == nullptr || !schema->is_object()) inner.Fail("input_schema", "a JSON schema");
  bool strict = false, deferred = false;
  inner.Bool("strict", &strict);
  inner.Bool("defer_loading", &deferred);
  if (deferred) inner.Fail("defer_loading", "false: it is not supported yet");
  bool eager = false;  // calls are sent whole
  inner.Bool("eager_input_streaming", &eager);
  const Json* callers = inner.Find("allowed_callers");
  if (callers != nullptr && *callers != Json::array({"direct"})) {
    inner.Fail("allowed_callers", "[\"direct\"]");
  }
  ReadCacheControl(inner);
  inner.RefuseUnknown();
  reader.Adopt(place, inner);
  if (!reader.ok()) return;
  Json function = {{"name", name}};
  if (!description.empty()) function["description"] = description;
  function["parameters"] = *schema;
  if (strict) function["strict"] = true;
  out->push_back({{"type", "function"}, {"function", std::move(function)}});
}

}  // namespace

void ReadMessageBlocks(FieldReader& reader, const Json* system, const Json& messages, Json* out) {
  *out = Json::array();
  if (!messages.is_array() || messages.empty()) {
    return reader.Fail("messages", "a list with at least one message");
  }
  BlockReader blocks(reader, out);
  if (system != nullptr) blocks.ReadSystem(*system);
  for (size_t i = 0; i < messages.size() && reader.ok(); ++i) {
    blocks.ReadMessage(messages[i], fmt::format("messages[{}]", i));
  }
  if (reader.ok() && out->back()["role"] == "assistant") {
    const std::string place = fmt::format("messages[{}].role", messages.size() - 1);
    reader.Refuse(place, place +
                             ": found an assistant's message at the end, expected a user's: "
                             "beginnings of answers are not supported yet");
  }
}

void ReadAnthropicTools(FieldReader& reader, const Json& tools, Json* out) {
  *out = Json::array();
  if (!tools.is_array()) return reader.Fail("tools", "a list of tools");
  for (size_t i = 0; i < tools.size() && reader.ok(); ++i) {
    ReadTool(reader, fmt::format("tools[{}]", i), tools[i], out);
  }
}

}  // namespace pelton
