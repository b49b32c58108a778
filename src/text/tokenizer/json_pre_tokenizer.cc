#include "text/tokenizer/json_parts.h"
#include "text/tokenizer/known_splits.h"
#include "text/tokenizer/unicode.h"

namespace pelton::tokenizer {

namespace {

Result<SplitBehavior> ReadBehavior(JsonValue value) {
  const std::string_view name = JsonText(value, "behavior").value_or("Isolated");
  if (name == "Isolated") return SplitBehavior::kIsolated;
  if (name == "Removed") return SplitBehavior::kRemoved;
  if (name == "MergedWithPrevious") return SplitBehavior::kMergedWithPrevious;
  if (name == "MergedWithNext") return SplitBehavior::kMergedWithNext;
  if (name == "Contiguous") return SplitBehavior::kContiguous;
  return UnknownComponent("split behavior", name);
}

Status AddRegex(std::string_view pattern, SplitBehavior behavior, bool invert, PreTokenizer* out) {
  ASSIGN_OR_RETURN(std::unique_ptr<PreTokenStep> step, MakePatternSplit(pattern, behavior, invert));
  out->Add(std::move(step));
  return OkStatus();
}

// `text` as an expression that matches it and nothing else.
std::string Escaped(std::string_view text) {
  std::string pattern;
  for (const char c : text) {
    const bool plain = (c >= '0' && c <= '9') || (c >= 'A' && c <= 'Z') || (c >= 'a' && c <= 'z') ||
                       static_cast<unsigned char>(c) >= 0x80 || c == '\n' || c == '\t';
    if (!plain) pattern += '\\';
    pattern += c;
  }
  return pattern;
}

Status AddSplit(JsonValue value, PreTokenizer* out) {
  ASSIGN_OR_RETURN(const SplitBehavior behavior, ReadBehavior(value));
  const bool invert = JsonFlag(value, "invert", false);
  const auto pattern = JsonMember(value, "pattern");
  if (!pattern) return InvalidArgument("tokenizer.json: a Split has no pattern");
  if (const auto regex = JsonText(*pattern, "Regex")) {
    return AddRegex(*regex, behavior, invert, out);
  }
  const auto text = JsonText(*pattern, "String");
  if (!text) return InvalidArgument("tokenizer.json: a Split has no pattern");
  if (text->empty()) return OkStatus();
  return AddRegex(Escaped(*text), behavior, invert, out);
}

Status AddMetaspace(JsonValue value, PreTokenizer* out) {
  MetaspaceOptions options;
  options.replacement = JsonText(value, "replacement").value_or("\u2581");
  if (options.replacement.empty()) {
    return InvalidArgument("tokenizer.json: a Metaspace has an empty replacement");
  }
  const auto scheme = JsonText(value, "prepend_scheme");
  using enum MetaspaceOptions::Prepend;
  if (scheme == "first") {
    options.prepend = kFirst;
  } else if (scheme == "never" || (!scheme && !JsonFlag(value, "add_prefix_space", true))) {
    options.prepend = kNever;
  }
  options.split = JsonFlag(value, "split", true);
  out->Add(MakeMetaspace(std::move(options)));
  return OkStatus();
}

}  // namespace

Status AddJsonPreTokenizer(JsonValue value, int depth, PreTokenizer* out, bool* byte_level) {
  if (depth > kMaxJsonDepth) {
    return InvalidArgument("tokenizer.json: pre-tokenizers nest too deeply");
  }
  const std::string_view type = JsonType(value);
  if (*byte_level) {
    return Unimplemented("tokenizer.json: the pre-tokenizer \"" + std::string(type.substr(0, 64)) +
                         "\" follows ByteLevel, which must be the last");
  }
  if (type == "Sequence") {
    const auto members = JsonArray(value, "pretokenizers");
    if (!members) return InvalidArgument("tokenizer.json: a pre-tokenizer sequence has no members");
    for (const JsonValue member : *members) {
      RETURN_IF_ERROR(AddJsonPreTokenizer(member, depth + 1, out, byte_level));
    }
  } else if (type == "Split") {
    return AddSplit(value, out);
  } else if (type == "ByteLevel") {
    *byte_level = true;
    if (JsonFlag(value, "add_prefix_space", true)) out->Add(MakeSpacePrefix());
    if (JsonFlag(value, "use_regex", true)) {
      return AddRegex(Gpt2Pattern(), SplitBehavior::kIsolated, false, out);
    }
  } else if (type == "Digits") {
    out->Add(MakeClassSplit(kNumber, JsonFlag(value, "individual_digits", false)
                                         ? SplitBehavior::kIsolated
                                         : SplitBehavior::kContiguous));
  } else if (type == "Metaspace") {
    return AddMetaspace(value, out);
  } else if (type == "WhitespaceSplit") {
    out->Add(MakeClassSplit(kSpace, SplitBehavior::kRemoved));
  } else if (type == "Whitespace") {
    return AddRegex(R"(\w+|[^\w\s]+)", SplitBehavior::kRemoved, true, out);
  } else if (type == "Punctuation") {
    ASSIGN_OR_RETURN(const SplitBehavior behavior, ReadBehavior(value));
    out->Add(MakeClassSplit(kPunct, behavior, true));
  } else if (type == "BertPreTokenizer") {
    out->Add(MakeClassSplit(kSpace, SplitBehavior::kRemoved));
    out->Add(MakeClassSplit(kPunct, SplitBehavior::kIsolated, true));
  } else if (type == "CharDelimiterSplit") {
    const auto delimiter = JsonText(value, "delimiter");
    if (!delimiter || delimiter->empty()) {
      return InvalidArgument("tokenizer.json: a CharDelimiterSplit has no delimiter");
    }
    return AddRegex(Escaped(*delimiter), SplitBehavior::kRemoved, false, out);
  } else {
    return UnknownComponent("pre-tokenizer", type);
  }
  return OkStatus();
}

}  // namespace pelton::tokenizer
