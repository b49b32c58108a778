#include "text/tokenizer/json_parts.h"

namespace pelton::tokenizer {

namespace {

// The ids of a special token in a template.
Status AppendTemplateToken(JsonValue processor, std::string_view name, size_t vocab_size,
                           std::vector<int32_t>* ids) {
  const auto tokens = JsonMember(processor, "special_tokens");
  const auto token = tokens ? JsonMember(*tokens, name) : std::nullopt;
  const auto list = token ? JsonArray(*token, "ids") : std::nullopt;
  if (!list) {
    return InvalidArgument("tokenizer.json: the template's token \"" +
                           std::string(name.substr(0, 64)) + "\" is not among its special tokens");
  }
  for (const JsonValue value : *list) {
    const std::optional<int64_t> id = JsonInteger(value);
    if (!id || *id < 0 || static_cast<uint64_t>(*id) >= vocab_size) {
      return InvalidArgument("tokenizer.json: the template's token \"" +
                             std::string(name.substr(0, 64)) + "\" has no valid id");
    }
    ids->push_back(static_cast<int32_t>(*id));
  }
  return OkStatus();
}

Status AddTemplate(JsonValue processor, TokenizerParts* parts) {
  const auto single = JsonArray(processor, "single");
  if (!single) return InvalidArgument("tokenizer.json: a template has no \"single\"");
  std::vector<int32_t>* ids = &parts->prefix;
  for (const JsonValue item : *single) {
    if (JsonMember(item, "Sequence")) {
      ids = &parts->suffix;
      continue;
    }
    const auto special = JsonMember(item, "SpecialToken");
    const auto name = special ? JsonText(*special, "id") : std::nullopt;
    if (!name) return InvalidArgument("tokenizer.json: a template's item is not known");
    RETURN_IF_ERROR(AppendTemplateToken(processor, *name, parts->vocabulary->size(), ids));
  }
  return OkStatus();
}

// "cls" and "sep": pairs of text and id.
Status AddPairToken(JsonValue processor, std::string_view key, size_t vocab_size,
                    std::vector<int32_t>* ids) {
  const auto pair = JsonArray(processor, key);
  JsonValue second;
  const bool found = pair && pair->at(1).get(second) == simdjson::SUCCESS;
  const std::optional<int64_t> id = found ? JsonInteger(second) : std::nullopt;
  if (!id || *id < 0 || static_cast<uint64_t>(*id) >= vocab_size) {
    return InvalidArgument("tokenizer.json: the post-processor's \"" + std::string(key) +
                           "\" has no valid id");
  }
  ids->push_back(static_cast<int32_t>(*id));
  return OkStatus();
}

}  // namespace

Status AddJsonPostProcessor(JsonValue value, int depth, TokenizerParts* parts) {
  if (depth > kMaxJsonDepth) {
    return InvalidArgument("tokenizer.json: post-processors nest too deeply");
  }
  const std::string_view type = JsonType(value);
  if (type == "Sequence") {
    const auto members = JsonArray(value, "processors");
    if (!members) return InvalidArgument("tokenizer.json: a post-processor sequence is empty");
    for (const JsonValue member : *members) {
      RETURN_IF_ERROR(AddJsonPostProcessor(member, depth + 1, parts));
    }
    return OkStatus();
  }
  if (type == "ByteLevel") return OkStatus();  // concerns offsets only
  if (type == "TemplateProcessing") return AddTemplate(value, parts);
  if (type == "BertProcessing" || type == "RobertaProcessing") {
    const size_t vocab_size = parts->vocabulary->size();
    RETURN_IF_ERROR(AddPairToken(value, "cls", vocab_size, &parts->prefix));
    return AddPairToken(value, "sep", vocab_size, &parts->suffix);
  }
  return UnknownComponent("post-processor", type);
}

}  // namespace pelton::tokenizer
