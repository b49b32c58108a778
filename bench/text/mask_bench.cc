#include <fmt/format.h>

#include <algorithm>
#include <chrono>
#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "runtime/sample/row_scan.h"
#include "serving/model/model_tokenizer.h"
#include "text/grammar/grammar.h"

// mask_bench MODEL: what a constrained token costs with the model's vocabulary: filling the mask,
// which happens beside the forward pass, going on with a token, and masking the row of logits.
// Outputs are drawn at random among the allowed tokens.
namespace pelton {
namespace {

using Clock = std::chrono::steady_clock;
constexpr size_t kTokens = 4000;
constexpr size_t kMostOutput = 200;

double Microseconds(Clock::duration time) {
  return std::chrono::duration<double, std::micro>(time).count();
}

struct Costs {
  std::vector<double> fill, accept, apply;
  void Print(const std::string& name, double compile_ms) {
    const auto at = [](std::vector<double>& values, double part) {
      std::sort(values.begin(), values.end());
      return values[static_cast<size_t>(part * static_cast<double>(values.size() - 1))];
    };
    fmt::print(
        "{:<12} compile {:7.2f} ms   fill {:6.1f} us (p99 {:7.1f})   accept {:5.1f} us   "
        "apply {:5.1f} us\n",
        name, compile_ms, at(fill, 0.5), at(fill, 0.99), at(accept, 0.5), at(apply, 0.5));
  }
};

void Measure(GrammarCompiler& compiler, size_t vocab, const std::string& name,
             const GrammarSource& source) {
  const auto begin = Clock::now();
  const auto grammar = compiler.Compile(source).value();
  const double compile_ms = Microseconds(Clock::now() - begin) / 1000;
  std::vector<uint32_t> mask((vocab + 31) / 32);
  std::vector<float> row(vocab, 1.0f);
  Costs costs;
  uint32_t random = 1;
  while (costs.fill.size() < kTokens) {
    GrammarMatcher matcher(grammar);
    for (size_t step = 0; step < kMostOutput; ++step) {
      const auto start = Clock::now();
      matcher.FillMask(mask);
      const auto filled = Clock::now();
      ApplyMask(mask, row);
      const auto applied = Clock::now();
      costs.fill.push_back(Microseconds(filled - start));
      costs.apply.push_back(Microseconds(applied - filled));
      std::vector<int32_t> allowed;
      for (size_t i = 0; i < vocab; ++i) {
        if ((mask[i / 32] >> i % 32 & 1) != 0) allowed.push_back(static_cast<int32_t>(i));
      }
      std::fill(row.begin(), row.end(), 1.0f);
      if (allowed.empty()) break;
      random = random * 1664525u + 1013904223u;
      const auto before = Clock::now();
      matcher.Accept(allowed[(random >> 8) % allowed.size()]);
      costs.accept.push_back(Microseconds(Clock::now() - before));
    }
  }
  costs.Print(name, compile_ms);
}

int Run(const char* path) {
  const auto tokenizer = LoadTokenizer(path);
  if (!tokenizer.ok()) {
    fmt::print("{}\n", tokenizer.status().message());
    return 2;
  }
  const size_t vocab = (*tokenizer)->vocab_size();
  const auto begin = Clock::now();
  GrammarCompiler compiler(**tokenizer, vocab);
  fmt::print("{} tokens, ready in {:.1f} ms\n", vocab, Microseconds(Clock::now() - begin) / 1000);
  using Kind = GrammarSource::Kind;
  Measure(compiler, vocab, "json_object", {Kind::kJsonObject, "", ""});
  Measure(compiler, vocab, "schema",
          {Kind::kJsonSchema,
           R"({"type":"object","properties":{"name":{"type":"string"},"age":{"type":"integer",)"
           R"("minimum":0,"maximum":150},"tags":{"type":"array","items":{"enum":["a","b","c"]}}},)"
           R"("required":["name","age","tags"]})",
           ""});
  Measure(compiler, vocab, "regex", {Kind::kRegex, "([A-Z][a-z]+ ){3,8}\\d{4}-\\d{2}-\\d{2}", ""});
  Measure(compiler, vocab, "gbnf",
          {Kind::kEbnf, "root ::= e\ne ::= t ([-+*/] t)*\nt ::= [0-9]+ | \"(\" e \")\"", ""});
  return 0;
}

}  // namespace
}  // namespace pelton

int main(int argc, char** argv) {
  if (argc != 2) {
    fmt::print("usage: mask_bench MODEL\n");
    return 2;
  }
  return pelton::Run(argv[1]);
}
