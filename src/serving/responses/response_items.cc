#include "serving/responses/response_items.h"

#include <fmt/format.h>

#include <algorithm>
#include <map>
#include <utility>

#include "serving/api/unique_id.h"

namespace pelton {
namespace {

// Reads the items of one request; failures go to the reader of the whole request.
class ItemReader {
 public:
  ItemReader(FieldReader& top, Json* out) : top_(top), out_(out) {}

  void Read(const Json& item, const std::string& place) {
    if (!item.is_object()) return top_.Refuse(place, place + ": expected an object");
    FieldReader reader(item);
    std::string type;
    reader.String("type", &type);
    if (type.empty()) type = reader.Has("role") || !reader.Has("id") ? "message" : "item_reference";
    if (type == "message") {
      ReadMessage(reader, place);
    } else if (type == "function_call") {
      ReadCall(reader, place);
    } else if (type == "function_call_output") {
      ReadCallOutput(reader, place);
    } else if (type == "reasoning") {
      ReadReasoning(reader, place);
    } else if (type == "item_reference") {
      std::string id;
      reader.String("id", &id);
      if (id.empty()) reader.Fail("id", "the id of an item");
      Keep(reader, place, {{"type", type}, {"id", id}});
    } else {
      reader.Fail("type",
                  "message, function_call, function_call_output, reasoning or item_reference");
      top_.Adopt(place, reader);
    }
  }

 private:
  void Keep(FieldReader& reader, const std::string& place, Json item) {
    reader.RefuseUnknown();
    top_.Adopt(place, reader);
    out_->push_back(std::move(item));
  }

  static std::string Id(FieldReader& reader, const char* prefix) {
    std::string id;
    reader.String("id", &id);
    return id.empty() ? UniqueId(prefix) : id;
  }

  static std::string State(FieldReader& reader) {
    std::string status = "completed";
    reader.String("status", &status);
    if (status != "in_progress" && status != "completed" && status != "incomplete") {
      reader.Fail("status", "in_progress, completed or incomplete");
    }
    return status;
  }

  // Who made a call: nobody but the model can here.
  static void ReadCaller(FieldReader& reader) {
    const Json* caller = reader.Find("caller");
    if (caller != nullptr && *caller != Json{{"type", "direct"}}) {
      reader.Fail("caller", "{\"type\":\"direct\"}");
    }
    if (reader.Has("namespace")) reader.Fail("namespace", "nothing: it is not supported");
  }

  // One part of a content, as `kept` calls it; null, and a failure, if it is no text.
  Json ReadPart(const Json& part, const std::string& place, const char* kept, bool assistant) {
    if (!part.is_object()) {
      top_.Refuse(place, place + ": expected an object with a type");
      return nullptr;
    }
    FieldReader reader(part);
    std::string type, text;
    reader.String("type", &type);
    const bool refusal = type == "refusal" && assistant;
    if (type != "input_text" && type != "output_text" && !refusal) {
      reader.Fail("type", "input_text or output_text: the model reads no other");
    }
    const char* const field = refusal ? "refusal" : "text";
    reader.String(field, &text);
    if (!reader.Has(field)) reader.Fail(field, "a text");
    if (type == "output_text") {
      // What an answer carried beside its text.
      for (const char* name : {"annotations", "logprobs"}) {
        const Json* list = reader.Find(name);
        if (list != nullptr && !list->is_array()) reader.Fail(name, "a list");
      }
    } else if (!refusal) {
      // A mark of what to cache; whole prefixes are cached without it.
      const Json* mark = reader.Find("prompt_cache_breakpoint");
      if (mark != nullptr && !mark->is_object()) {
        reader.Fail("prompt_cache_breakpoint", "an object");
      }
    }
    reader.RefuseUnknown();
    top_.Adopt(place, reader);
    if (refusal) return {{"type", "refusal"}, {"refusal", text}};
    Json out = {{"type", kept}, {"text", text}};
    if (assistant) out["annotations"] = Json::array();
    return out;
  }

  void ReadMessage(FieldReader& reader, const std::string& place) {
    std::string role;
    reader.String("role", &role);
    const bool assistant = role == "assistant";
    if (!assistant && role != "user" && role != "system" && role != "developer") {
      reader.Fail("role", "user, assistant, system or developer");
    }
    std::string phase;  // a mark for other models
    reader.String("phase", &phase);
    Json content = Json::array();
    const char* const kept = assistant ? "output_text" : "input_text";
    const Json* given = reader.Find("content");
    if (given != nullptr && given->is_string()) {
      content.push_back({{"type", kept}, {"text", *given}});
      if (assistant) content[0]["annotations"] = Json::array();
    } else if (given != nullptr && given->is_array()) {
      for (size_t i = 0; i < given->size() && top_.ok(); ++i) {
        content.push_back(
            ReadPart((*given)[i], fmt::format("{}.content[{}]", place, i), kept, assistant));
      }
    } else {
      reader.Fail("content", "a text or a list of parts");
    }
    const std::string id = Id(reader, "msg_");
    const std::string status = State(reader);
    Keep(reader, place,
         {{"id", id},
          {"type", "message"},
          {"status", status},
          {"role", role},
          {"content", std::move(content)}});
  }

  void ReadCall(FieldReader& reader, const std::string& place) {
    std::string call_id, name, arguments;
    reader.String("call_id", &call_id);
    reader.String("name", &name);
    reader.String("arguments", &arguments);
    if (call_id.empty()) reader.Fail("call_id", "an id");
    if (name.empty()) reader.Fail("name", "the name of a function");
    const Result<Json> object = ParseJson(arguments);
    if (!object.ok() || !object->is_object()) {
      reader.Fail("arguments", "the text of a JSON object");
    }
    ReadCaller(reader);
    const std::string id = Id(reader, "fc_");
    const std::string status = State(reader);
    Keep(reader, place,
         {{"id", id},
          {"type", "function_call"},
          {"status", status},
          {"call_id", call_id},
          {"name", name},
          {"arguments", arguments}});
  }

  void ReadCallOutput(FieldReader& reader, const std::string& place) {
    std::string call_id, name;
    reader.String("call_id", &call_id);
    reader.String("name", &name);
    if (call_id.empty()) reader.Fail("call_id", "the id of a function_call");
    Json output = "";
    const Json* given = reader.Find("output");
    if (given != nullptr && given->is_string()) {
      output = *given;
    } else if (given != nullptr && given->is_array()) {
      output = Json::array();
      for (size_t i = 0; i < given->size() && top_.ok(); ++i) {
        output.push_back(
            ReadPart((*given)[i], fmt::format("{}.output[{}]", place, i), "input_text", false));
      }
    } else {
      reader.Fail("output", "a text or a list of parts");
    }
    ReadCaller(reader);
    const std::string id = Id(reader, "fco_");
    const std::string status = State(reader);
    Keep(reader, place,
         {{"id", id},
          {"type", "function_call_output"},
          {"status", status},
          {"call_id", call_id},
          {"output", std::move(output)}});
  }

  // A list of objects with the type and a text.
  static Json ReadTexts(FieldReader& reader, const char* name, const char* type) {
    Json out = Json::array();
    const Json* list = reader.Find(name);
    if (list == nullptr) return out;
    const std::string expected = fmt::format("a list of {{\"type\":\"{}\",\"text\"}}", type);
    if (!list->is_array()) {
      reader.Fail(name, expected);
      return out;
    }
    for (const Json& entry : *list) {
      if (!entry.is_object() || entry.size() != 2 || !entry.contains("type") ||
          entry["type"] != type || !entry.contains("text") || !entry["text"].is_string()) {
        reader.Fail(name, expected);
        return out;
      }
      out.push_back({{"type", type}, {"text", entry["text"]}});
    }
    return out;
  }

  void ReadReasoning(FieldReader& reader, const std::string& place) {
    Json summary = ReadTexts(reader, "summary", "summary_text");
    Json content = ReadTexts(reader, "content", "reasoning_text");
    if (reader.Has("encrypted_content")) {
      reader.Fail("encrypted_content", "nothing: reasoning comes and goes in \"content\"");
    }
    const std::string id = Id(reader, "rs_");
    const std::string status = State(reader);
    Keep(reader, place,
         {{"id", id},
          {"type", "reasoning"},
          {"status", status},
          {"summary", std::move(summary)},
          {"content", std::move(content)}});
  }

  FieldReader& top_;
  Json* const out_;
};

// The texts of parts, one after another.
std::string TextOf(const Json& content) {
  if (content.is_string()) return content.get<std::string>();
  std::string text;
  for (const Json& part : content) {
    text += part[part["type"] == "refusal" ? "refusal" : "text"].get_ref<const std::string&>();
  }
  return text;
}

// Gathers messages; the assistant's last one may still grow.
class MessageList {
 public:
  explicit MessageList(std::string_view instructions) {
    if (!instructions.empty()) Push("system", std::string(instructions));
  }

  void Add(const Json& item) {
    const std::string& type = item["type"].get_ref<const std::string&>();
    if (type == "message") return AddMessage(item);
    if (type == "reasoning") {
      // Reasoning begins a turn.
      if (!OpenTurn() || turn().contains("tool_calls") || HasText()) NewTurn();
      Json& text = turn()["reasoning_content"];
      if (!text.is_string()) text = "";
      text.get_ref<std::string&>() += TextOf(item["content"]);
    } else if (type == "function_call") {
      if (!OpenTurn()) NewTurn();
      Result<Json> arguments = ParseJson(item["arguments"].get_ref<const std::string&>());
      turn()["tool_calls"].push_back(
          {{"id", item["call_id"]},
           {"type", "function"},
           {"function",
            {{"name", item["name"]},
             {"arguments", arguments.ok() ? *std::move(arguments) : Json::object()}}}});
      names_[item["call_id"]] = item["name"];
    } else if (type == "function_call_output") {
      Json message = {{"role", "tool"}, {"tool_call_id", item["call_id"]}};
      const auto name = names_.find(item["call_id"]);
      if (name != names_.end()) message["name"] = name->second;
      message["content"] = TextOf(item["output"]);
      messages_.push_back(std::move(message));
    }
  }

  Json Take() { return std::move(messages_); }

 private:
  void AddMessage(const Json& item) {
    const std::string text = TextOf(item["content"]);
    std::string role = item["role"];
    if (role == "developer") role = "system";
    if (role != "assistant") {
      // Many templates allow one system message, at the begin.
      if (role == "system" && messages_.size() == 1 && messages_[0]["role"] == "system") {
        messages_[0]["content"].get_ref<std::string&>() += "\n\n" + text;
        return;
      }
      return Push(role, text);
    }
    if (!OpenTurn() || turn().contains("tool_calls") || HasText()) NewTurn();
    turn()["content"] = text;
  }

  void Push(const std::string& role, std::string text) {
    messages_.push_back({{"role", role}, {"content", std::move(text)}});
  }
  bool OpenTurn() const { return !messages_.empty() && messages_.back()["role"] == "assistant"; }
  bool HasText() { return !turn()["content"].get_ref<const std::string&>().empty(); }
  void NewTurn() { Push("assistant", ""); }
  Json& turn() { return messages_.back(); }

  Json messages_ = Json::array();
  std::map<std::string, std::string> names_;  // of functions, by the call's id
};

}  // namespace

void ReadInputItems(FieldReader& reader, const Json& input, Json* items) {
  *items = Json::array();
  ItemReader item_reader(reader, items);
  if (input.is_string()) return item_reader.Read({{"role", "user"}, {"content", input}}, "input");
  if (!input.is_array() || input.empty()) {
    return reader.Fail("input", "a text or a list of items");
  }
  if (input.size() > kMaxItems) {
    return reader.Refuse("input", fmt::format("input: found {} items, expected at most {}",
                                              input.size(), kMaxItems));
  }
  for (size_t i = 0; i < input.size() && reader.ok(); ++i) {
    item_reader.Read(input[i], fmt::format("input[{}]", i));
  }
}

Json MessagesOfItems(std::string_view instructions, const Json& items) {
  MessageList list(instructions);
  for (const Json& item : items) list.Add(item);
  return list.Take();
}

}  // namespace pelton
