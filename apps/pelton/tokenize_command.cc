#include <iostream>
#include <nlohmann/json.hpp>

#include "command.h"
#include "line_reader.h"
#include "model_options.h"
#include "serving/model/model_tokenizer.h"

namespace pelton {
namespace {

using Json = nlohmann::ordered_json;

struct TokenizeOptions {
  ModelOptions model;
  bool jsonl = false;
  bool decode = false;
  std::string text;
};

int HexDigit(char c) {
  if (c >= '0' && c <= '9') return c - '0';
  if (c >= 'a' && c <= 'f') return c - 'a' + 10;
  if (c >= 'A' && c <= 'F') return c - 'A' + 10;
  return -1;
}

Result<std::string> FromHex(const std::string& hex) {
  if (hex.size() % 2 != 0) return InvalidArgument("bytes: expected an even number of hex digits");
  std::string bytes;
  for (size_t i = 0; i < hex.size(); i += 2) {
    const int high = HexDigit(hex[i]), low = HexDigit(hex[i + 1]);
    if (high < 0 || low < 0) return InvalidArgument("bytes: expected hex digits");
    bytes += static_cast<char>(high * 16 + low);
  }
  return bytes;
}

std::string ToJsonLine(const Json& json) {
  return json.dump(-1, ' ', false, Json::error_handler_t::replace);
}

Result<std::string> EncodeLine(const Tokenizer& tokenizer, const Json& in) {
  std::string text;
  if (in.contains("bytes")) {
    if (!in["bytes"].is_string()) return InvalidArgument("bytes: expected a string of hex digits");
    ASSIGN_OR_RETURN(text, FromHex(in["bytes"].get<std::string>()));
  } else if (in.contains("text") && in["text"].is_string()) {
    text = in["text"].get<std::string>();
  } else {
    return InvalidArgument("expected \"text\" or \"bytes\"");
  }
  const auto flag = [&](const char* key, bool otherwise) {
    return in.contains(key) && in[key].is_boolean() ? in[key].get<bool>() : otherwise;
  };
  Json out;
  out["ids"] = tokenizer.Encode(
      text, {.parse_special = flag("special", true), .add_special = flag("add_special", false)});
  return ToJsonLine(out);
}

Result<std::string> DecodeLine(const Tokenizer& tokenizer, const Json& in) {
  if (!in.contains("ids") || !in["ids"].is_array()) return InvalidArgument("expected \"ids\"");
  std::vector<int32_t> ids;
  for (const Json& id : in["ids"]) {
    if (!id.is_number_integer()) return InvalidArgument("ids: expected integers");
    const auto wide = id.get<int64_t>();
    if (wide < 0 || wide >= static_cast<int64_t>(tokenizer.vocab_size())) {
      return InvalidArgument("ids: found " + std::to_string(wide) + ", expected 0 to " +
                             std::to_string(tokenizer.vocab_size() - 1));
    }
    ids.push_back(static_cast<int32_t>(wide));
  }
  const bool skip = !in.contains("skip_special") || !in["skip_special"].is_boolean() ||
                    in["skip_special"].get<bool>();
  Json out;
  out["text"] = tokenizer.Decode(ids, skip);
  // One delta for each id, and what a flush gives.
  Json pieces = Json::array();
  StreamDecoder stream(tokenizer, skip);
  for (int32_t id : ids) pieces.push_back(stream.Feed(id));
  pieces.push_back(stream.Flush());
  out["pieces"] = std::move(pieces);
  return ToJsonLine(out);
}

int Run(const TokenizeOptions& options) {
  const Result<std::string> path = options.model.Path();
  if (!path.ok()) return Fail(path.status());
  const Result<std::unique_ptr<Tokenizer>> tokenizer = LoadTokenizer(*path);
  if (!tokenizer.ok()) return Fail(tokenizer.status());
  const Tokenizer& t = **tokenizer;
  if (!options.text.empty()) {
    for (int32_t id : t.Encode(options.text)) {
      std::cout << id << '\t' << ToJsonLine(Json(std::string(t.Piece(id)))) << '\n';
    }
    return kExitOk;
  }
  const Status status = ForEachLine(std::cin, [&](const std::string& line) -> Status {
    const Json in = Json::parse(line, nullptr, false);
    if (!in.is_object()) return InvalidArgument("expected a JSON object");
    Result<std::string> out = options.decode ? DecodeLine(t, in) : EncodeLine(t, in);
    RETURN_IF_ERROR(out.status());
    std::cout << *out << '\n';
    return OkStatus();
  });
  std::cout.flush();
  return status.ok() ? kExitOk : Fail(status);
}

}  // namespace

Command TokenizeCommand() {
  auto options = std::make_shared<TokenizeOptions>();
  Command command{.name = "tokenize",
                  .summary = "text to token ids and back",
                  .description =
                      "Prints the tokens of TEXT, or works on JSON lines from standard input: "
                      "{\"text\"} or {\"bytes\"} (hex), with \"special\" (parse special tokens) "
                      "and \"add_special\" (add BOS and EOS), gives {\"ids\"}; with --decode, "
                      "{\"ids\"} gives {\"text\",\"pieces\"}. MODEL may also be a bare "
                      "vocab.gguf, tokenizer.json or tokenizer.model."};
  options->model.AddModel(&command.options);
  command.options.push_back({.names = "text",
                             .value = "TEXT",
                             .help = "the text; without it JSON lines are read",
                             .group = "arguments",
                             .target = &options->text});
  command.options.push_back(
      {.names = "--jsonl",
       .value = "",
       .help = "read JSON lines from standard input (the default without TEXT)",
       .group = "input",
       .target = &options->jsonl});
  command.options.push_back({.names = "--decode",
                             .value = "",
                             .help = "from ids to text",
                             .group = "input",
                             .target = &options->decode});
  command.run = [options] { return Run(*options); };
  command.storage = options;
  return command;
}

}  // namespace pelton
