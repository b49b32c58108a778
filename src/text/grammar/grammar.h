#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <string_view>

#include "base/status.h"
#include "text/tokenizer/tokenizer.h"

namespace pelton {

// What an output must be. `text` depends on the kind:
//   kJsonObject     unused: any JSON object
//   kJsonSchema     a JSON schema; objects are closed unless they say additionalProperties
//   kRegex          a regular expression for the whole output; "." is any character but a line feed
//   kChoice         a JSON list of texts, one of which is the output
//   kEbnf           GBNF as llama.cpp reads it; the rule "root" is the output
//   kStructuralTag  XGrammar's structural tag as JSON, or the older form with structures, triggers
struct GrammarSource {
  enum class Kind : uint8_t { kJsonObject, kJsonSchema, kRegex, kChoice, kEbnf, kStructuralTag };
  Kind kind = Kind::kJsonObject;
  std::string text;
  // A format of a structural tag, as JSON, for what comes before; empty: nothing does.
  std::string before = {};
};

// A grammar made ready for one vocabulary. Immutable; any thread.
class CompiledGrammar {
 public:
  ~CompiledGrammar();
  size_t bytes() const;  // of memory, about

 private:
  friend class GrammarCompiler;
  friend class GrammarMatcher;
  struct Impl;
  explicit CompiledGrammar(std::unique_ptr<const Impl> impl);
  std::unique_ptr<const Impl> impl_;
};

struct GrammarLimits {
  size_t source_bytes = 256 << 10;
  size_t compiled_bytes = 256 << 20;  // of one grammar
  size_t cache_bytes = 256 << 20;     // of grammars that nobody need use at the moment
};

// Makes grammars ready for one vocabulary and keeps those used last. What goes in is bounded before
// anything is compiled (docs/design/text.md has the limits), so that a hostile source is an error
// in bounded time and memory. Any thread; one source is compiled at a time.
class GrammarCompiler {
 public:
  // `vocab_size`: of the model's logits. Copies what it needs of the tokenizer.
  GrammarCompiler(const Tokenizer& tokenizer, size_t vocab_size, GrammarLimits limits = {});
  ~GrammarCompiler();

  // InvalidArgument, saying what of the source is wrong, not supported or too large. Nothing of a
  // source is ignored in silence. A warm call costs a look into the cache.
  Result<std::shared_ptr<const CompiledGrammar>> Compile(const GrammarSource& source);

  size_t cached_bytes() const;

 private:
  struct Impl;
  std::unique_ptr<Impl> impl_;
};

// Where one output is in its grammar. One thread at a time.
class GrammarMatcher {
 public:
  explicit GrammarMatcher(std::shared_ptr<const CompiledGrammar> grammar);
  ~GrammarMatcher();

  // Bit i % 32 of word i / 32 says whether token i may come next. End tokens never may: the output
  // may end where IsComplete(). False if the matcher broke; then no token may.
  // Requires: mask covers the vocabulary that the grammar was compiled for.
  bool FillMask(std::span<uint32_t> mask);
  // Goes on with a token. False if the grammar does not allow it; then nothing changes.
  bool Accept(int32_t id);
  // Takes back what the last `count` calls of Accept and AcceptText accepted.
  void Retract(size_t count);
  // The same as Accept for bytes of text.
  bool AcceptText(std::string_view text);
  // Whether what was accepted is a whole output. It may still go on if the mask is not empty.
  bool IsComplete() const;

 private:
  struct Impl;
  std::unique_ptr<Impl> impl_;
};

}  // namespace pelton
