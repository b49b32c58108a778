#include "serving/openai/logprob_json.h"

#include <fmt/format.h>

#include <utility>

#include "text/tokenizer/utf8.h"

namespace pelton {
namespace {

Json TokenJson(const Tokenizer& tokenizer, int32_t id, float logprob) {
  const std::string_view piece = tokenizer.Piece(id);
  Json bytes = Json::array();
  for (const char c : piece) bytes.push_back(static_cast<uint8_t>(c));
  return {{"token", TokenText(piece)}, {"logprob", logprob}, {"bytes", std::move(bytes)}};
}

}  // namespace

std::string TokenText(std::string_view piece) {
  std::string storage;
  if (tokenizer::ReplaceInvalidUtf8(piece, &storage) == piece) return std::string(piece);
  std::string text = "bytes:";
  for (const char c : piece) text += fmt::format("\\x{:02x}", static_cast<uint8_t>(c));
  return text;
}

Json LogprobJson(const Tokenizer& tokenizer, const TokenEvent& event) {
  Json entry = TokenJson(tokenizer, event.id, event.logprob);
  entry["top_logprobs"] = Json::array();
  for (const TokenLogprob& top : event.top) {
    entry["top_logprobs"].push_back(TokenJson(tokenizer, top.id, top.logprob));
  }
  return entry;
}

}  // namespace pelton
