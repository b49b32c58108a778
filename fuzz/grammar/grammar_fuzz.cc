#include <algorithm>
#include <array>
#include <cstdint>
#include <ctime>
#include <memory>
#include <nlohmann/json.hpp>
#include <string>
#include <string_view>
#include <vector>

#include "base/check.h"
#include "text/grammar/foresight.h"
#include "text/grammar/grammar.h"
#include "text/grammar/test_vocabulary.h"

// Input: a byte for the kind, a byte that chooses among the tokens that may follow, then the
// source. What compiles is followed for some tokens: each that the mask allows is accepted, one
// that it does not allow is not, and a whole output of a JSON kind is JSON.
namespace pelton {
namespace {

constexpr size_t kVocab = 300;
constexpr size_t kSteps = 24;
constexpr std::clock_t kMostTime = 10 * CLOCKS_PER_SEC;  // of the processor, sanitizers included

// What is foreseen may follow, and looking changes nothing.
void CheckForesight(GrammarMatcher& matcher, const Tokenizer& tokenizer,
                    const std::vector<uint32_t>& mask, const std::vector<int32_t>& allowed) {
  GrammarForesight foresight(tokenizer);
  std::array<int32_t, 4> ids{};
  const size_t count = foresight.Look(matcher, mask, ids);
  std::vector<uint32_t> after(mask.size());
  if (!matcher.FillMask(after)) return;
  PELTON_CHECK(after == mask, "looking ahead changes nothing");
  if (count == 0) return;
  PELTON_CHECK(std::ranges::find(allowed, ids[0]) != allowed.end(), "what is foreseen is allowed");
}

// Without all but two digits of each exponent: a number beyond doubles is JSON, but not to the
// parser.
std::string WithShortExponents(const std::string& text) {
  std::string out;
  bool in_string = false;
  size_t digits = 3;  // of an exponent so far; 3: in none
  for (size_t i = 0; i < text.size(); ++i) {
    const char c = text[i];
    const bool escaped = in_string && c == '\\' && i + 1 < text.size();
    if (c == '"') in_string = !in_string;
    const bool is_digit = c >= '0' && c <= '9';
    if (digits == 2 && is_digit) continue;
    if (!in_string && (c == 'e' || c == 'E')) {
      digits = 0;
    } else if (digits < 2 && is_digit) {
      ++digits;
    } else if (!is_digit && c != '+' && c != '-') {
      digits = 3;
    }
    out += c;
    if (escaped) out += text[++i];
  }
  return out;
}

// Follows the grammar with the choices of `random`; the text so far.
void Follow(const std::shared_ptr<const CompiledGrammar>& grammar, const Tokenizer& tokenizer,
            bool json, uint32_t random) {
  GrammarMatcher matcher(grammar);
  std::vector<uint32_t> mask((kVocab + 31) / 32);
  std::string text;
  for (size_t step = 0; step < kSteps; ++step) {
    if (matcher.IsComplete() && json) {
      PELTON_CHECK(nlohmann::json::accept(WithShortExponents(text)), "a whole output is JSON");
    }
    if (!matcher.FillMask(mask)) return;
    std::vector<int32_t> allowed;
    int32_t forbidden = -1;
    for (size_t i = 0; i < kVocab; ++i) {
      const auto id = static_cast<int32_t>(i);
      if ((mask[i / 32] >> i % 32 & 1) != 0) {
        allowed.push_back(id);
      } else if (i < 256) {
        forbidden = id;
      }
    }
    if (forbidden >= 0) {
      PELTON_CHECK(!matcher.Accept(forbidden), "what a mask forbids is not accepted");
    }
    if (allowed.empty()) return;
    CheckForesight(matcher, tokenizer, mask, allowed);
    random = random * 1664525u + 1013904223u;
    const int32_t id = allowed[(random >> 8) % allowed.size()];
    PELTON_CHECK(matcher.Accept(id), "what a mask allows is accepted");
    text += tokenizer.Piece(id);
  }
}

void RunOne(std::string_view input) {
  if (input.size() < 2) return;
  static const std::unique_ptr<Tokenizer> tokenizer = ByteVocabulary();
  static GrammarCompiler compiler(*tokenizer, kVocab, {.cache_bytes = 1 << 20});
  const auto kind = static_cast<GrammarSource::Kind>(static_cast<uint8_t>(input[0]) % 6);
  const std::clock_t start = std::clock();
  const auto grammar = compiler.Compile({.kind = kind, .text = std::string(input.substr(2))});
  if (!grammar.ok()) {
    PELTON_CHECK(grammar.status().code() == StatusCode::kInvalidArgument, "a source can be wrong");
    PELTON_CHECK(grammar.status().message().size() < 1024, "messages are short");
  } else {
    const bool json =
        kind == GrammarSource::Kind::kJsonObject || kind == GrammarSource::Kind::kJsonSchema;
    Follow(*grammar, *tokenizer, json, static_cast<uint8_t>(input[1]));
  }
  PELTON_CHECK(std::clock() - start < kMostTime, "time is bounded");
}

}  // namespace
}  // namespace pelton

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  pelton::RunOne({reinterpret_cast<const char*>(data), size});
  return 0;
}
