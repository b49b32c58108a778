#include "serving/embeddings/embedding_json.h"

#include <fmt/format.h>

#include <bit>
#include <cmath>
#include <cstdint>
#include <iterator>

#include "serving/request/field_reader.h"

namespace pelton {
namespace {

std::span<const float> VectorOf(const EmbeddingResult& result, size_t i) {
  return std::span(result.values).subspan(i * result.width, result.width);
}

size_t NumVectors(const EmbeddingResult& result) { return result.values.size() / result.width; }

}  // namespace

std::string NumbersToJson(std::span<const float> numbers) {
  std::string out = "[";
  out.reserve(numbers.size() * 14 + 2);
  for (const float x : numbers) {
    if (out.size() > 1) out += ',';
    if (std::isfinite(x)) {
      fmt::format_to(std::back_inserter(out), "{}", x);
    } else {
      out += "null";
    }
  }
  out += ']';
  return out;
}

std::string NumbersToBase64(std::span<const float> numbers) {
  constexpr char kDigits[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
  std::string bytes;
  for (const float x : numbers) {
    const auto bits = std::bit_cast<uint32_t>(x);
    for (int shift = 0; shift < 32; shift += 8) bytes += static_cast<char>(bits >> shift & 0xff);
  }
  std::string out;
  for (size_t i = 0; i < bytes.size(); i += 3) {
    uint32_t group = 0;
    for (size_t b = 0; b < 3; ++b) {
      group = group << 8 | (i + b < bytes.size() ? static_cast<uint8_t>(bytes[i + b]) : 0u);
    }
    for (size_t digit = 0; digit < 4; ++digit) {
      const bool padding = i + digit > bytes.size();
      out += padding ? '=' : kDigits[group >> (18 - 6 * digit) & 63];
    }
  }
  return out;
}

std::string OpenAiEmbeddingsJson(const EmbeddingResult& result, std::string_view model,
                                 bool base64) {
  std::string data;
  for (size_t i = 0; i < NumVectors(result); ++i) {
    const std::span<const float> vector = VectorOf(result, i);
    data += fmt::format("{}{{\"object\":\"embedding\",\"index\":{},\"embedding\":{}}}",
                        i == 0 ? "" : ",", i,
                        base64 ? '"' + NumbersToBase64(vector) + '"' : NumbersToJson(vector));
  }
  return fmt::format(
      "{{\"object\":\"list\",\"data\":[{}],\"model\":{},\"usage\":{{\"prompt_tokens\":{},"
      "\"total_tokens\":{}}}}}",
      data, ToText(Json(std::string(model))), result.tokens, result.tokens);
}

std::string OllamaEmbeddingsJson(const EmbeddingResult& result, std::string_view model, bool one) {
  if (one) return fmt::format("{{\"embedding\":{}}}", NumbersToJson(VectorOf(result, 0)));
  std::string list;
  for (size_t i = 0; i < NumVectors(result); ++i) {
    list += (i == 0 ? "" : ",") + NumbersToJson(VectorOf(result, i));
  }
  return fmt::format("{{\"model\":{},\"embeddings\":[{}],\"prompt_eval_count\":{}}}",
                     ToText(Json(std::string(model))), list, result.tokens);
}

}  // namespace pelton
