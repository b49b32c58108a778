#include "text/grammar/grammar.h"

#include <dlpack/dlpack.h>
#include <fmt/format.h>
#include <xgrammar/compiler.h>
#include <xgrammar/config.h>
#include <xgrammar/matcher.h>

#include <algorithm>
#include <exception>
#include <list>
#include <map>
#include <utility>
#include <variant>
#include <vector>

#include "base/check.h"
#include "base/mutex.h"
#include "text/grammar/grammar_format.h"
#include "text/grammar/xgrammar_log.h"

namespace pelton {
namespace {

constexpr int kMaxRecursion = 1000;  // frames of a few hundred bytes, on stacks of a few MiB
constexpr size_t kMaxGrammarBytes = 1 << 20;

// The bytes that each token stands for. End tokens and holes have none, so that no mask has them.
// Other control tokens have bytes that are no UTF-8: no text of a grammar matches them, but its
// token formats, which name ids, may.
std::vector<std::string> VocabularyBytes(const Tokenizer& tokenizer, size_t vocab_size) {
  std::vector<std::string> bytes(vocab_size);
  const size_t known = std::min(vocab_size, tokenizer.vocab_size());
  for (size_t i = 0; i < known; ++i) {
    const auto id = static_cast<int32_t>(i);
    if (tokenizer.IsEndOfGeneration(id)) continue;
    const std::string_view piece = tokenizer.Piece(id);
    if (tokenizer.IsSpecial(id)) {
      if (!piece.empty()) bytes[i] = "\xFF" + std::string(piece);
    } else {
      bytes[i] = piece;
    }
  }
  return bytes;
}

std::string_view KindName(GrammarSource::Kind kind) {
  switch (kind) {
    case GrammarSource::Kind::kJsonObject:
      return "json_object";
    case GrammarSource::Kind::kJsonSchema:
      return "json_schema";
    case GrammarSource::Kind::kRegex:
      return "regex";
    case GrammarSource::Kind::kChoice:
      return "choice";
    case GrammarSource::Kind::kEbnf:
      return "grammar";
    case GrammarSource::Kind::kStructuralTag:
      return "structural_tag";
  }
  return "unknown";
}

// XGrammar's messages may quote all of their input.
Status Refused(std::string_view message) {
  constexpr size_t kMaxMessage = 300;
  std::string text(message.substr(0, kMaxMessage));
  while (!text.empty() && (text.back() == '\n' || text.back() == ' ')) text.pop_back();
  return InvalidArgument(std::move(text));
}

}  // namespace

struct CompiledGrammar::Impl {
  xgrammar::CompiledGrammar compiled;
  size_t vocab_size;
  size_t bytes;
};

CompiledGrammar::CompiledGrammar(std::unique_ptr<const Impl> impl) : impl_(std::move(impl)) {}
CompiledGrammar::~CompiledGrammar() = default;
size_t CompiledGrammar::bytes() const { return impl_->bytes; }

struct GrammarCompiler::Impl {
  using Compiled = std::shared_ptr<const CompiledGrammar>;
  struct Entry {
    std::string key;
    Compiled grammar;
  };

  Impl(const Tokenizer& tokenizer, size_t vocab, GrammarLimits wanted)
      : limits(wanted),
        vocab_size(vocab),
        vocabulary(VocabularyBytes(tokenizer, vocab), xgrammar::VocabType::RAW, std::nullopt,
                   std::vector<int32_t>()),
        compiler(vocabulary, 1, false) {}

  Result<xgrammar::CompiledGrammar> Convert(const GrammarSource& source);
  Result<Compiled> CompileAnew(const GrammarSource& source);
  Compiled Find(const std::string& key);
  void Keep(std::string key, Compiled grammar);

  const GrammarLimits limits;
  const size_t vocab_size;
  const xgrammar::TokenizerInfo vocabulary;
  xgrammar::GrammarCompiler compiler GUARDED_BY(compiling);
  // Held while a grammar is compiled, so that two at once do not take twice the memory.
  Mutex compiling;
  mutable Mutex mutex;
  std::list<Entry> entries GUARDED_BY(mutex);  // used last first
  std::map<std::string_view, std::list<Entry>::iterator> by_key GUARDED_BY(mutex);
  size_t bytes GUARDED_BY(mutex) = 0;
};

Result<xgrammar::CompiledGrammar> GrammarCompiler::Impl::Convert(const GrammarSource& source) {
  ASSIGN_OR_RETURN(const nlohmann::ordered_json format, grammar::FormatOf(source));
  const MutexLock lock(compiling);
  const grammar::WarningCollector warnings;
  try {
    auto made = xgrammar::Grammar::FromStructuralTag(format.dump(), vocabulary);
    if (const auto* error = std::get_if<xgrammar::StructuralTagError>(&made)) {
      return Refused(std::visit([](const auto& one) { return std::string(one.what()); }, *error));
    }
    if (!warnings.first().empty()) return Refused(warnings.first());
    const auto& converted = std::get<xgrammar::Grammar>(made);
    if (const size_t size = converted.ToString().size(); size > kMaxGrammarBytes) {
      return InvalidArgument(fmt::format("it comes to {} bytes of grammar, expected at most {}",
                                         size, kMaxGrammarBytes));
    }
    xgrammar::CompiledGrammar compiled = compiler.CompileGrammar(converted);
    if (!warnings.first().empty()) return Refused(warnings.first());
    return compiled;
  } catch (const std::exception& error) {
    return Refused(error.what());
  }
}

Result<GrammarCompiler::Impl::Compiled> GrammarCompiler::Impl::CompileAnew(
    const GrammarSource& source) {
  if (source.text.size() > limits.source_bytes) {
    return InvalidArgument(fmt::format("found {} bytes, expected at most {}", source.text.size(),
                                       limits.source_bytes));
  }
  ASSIGN_OR_RETURN(xgrammar::CompiledGrammar compiled, Convert(source));
  const size_t size = compiled.MemorySizeBytes();
  if (size > limits.compiled_bytes) {
    return InvalidArgument(fmt::format("ready it would take {} bytes, expected at most {}", size,
                                       limits.compiled_bytes));
  }
  return Compiled(new CompiledGrammar(std::make_unique<CompiledGrammar::Impl>(
      CompiledGrammar::Impl{std::move(compiled), vocab_size, size + source.text.size()})));
}

GrammarCompiler::Impl::Compiled GrammarCompiler::Impl::Find(const std::string& key) {
  const MutexLock lock(mutex);
  const auto found = by_key.find(key);
  if (found == by_key.end()) return nullptr;
  entries.splice(entries.begin(), entries, found->second);
  return found->second->grammar;
}

void GrammarCompiler::Impl::Keep(std::string key, Compiled grammar) {
  const MutexLock lock(mutex);
  if (by_key.contains(key)) return;  // another thread was as quick
  bytes += grammar->bytes();
  entries.push_front({std::move(key), std::move(grammar)});
  by_key.emplace(entries.front().key, entries.begin());
  while (bytes > limits.cache_bytes && entries.size() > 1) {
    bytes -= entries.back().grammar->bytes();
    by_key.erase(entries.back().key);
    entries.pop_back();
  }
}

GrammarCompiler::GrammarCompiler(const Tokenizer& tokenizer, size_t vocab_size,
                                 GrammarLimits limits) {
  xgrammar::SetMaxRecursionDepth(kMaxRecursion);
  impl_ = std::make_unique<Impl>(tokenizer, vocab_size, limits);
}

GrammarCompiler::~GrammarCompiler() = default;

Result<std::shared_ptr<const CompiledGrammar>> GrammarCompiler::Compile(
    const GrammarSource& source) {
  // A zero byte cannot be in JSON, which `before` is.
  std::string key = static_cast<char>('0' + static_cast<int>(source.kind)) + source.before;
  key.push_back('\0');
  key += source.text;
  if (Impl::Compiled known = impl_->Find(key)) return known;
  Result<Impl::Compiled> compiled = impl_->CompileAnew(source);
  if (!compiled.ok()) return compiled.status().WithContext(KindName(source.kind));
  impl_->Keep(std::move(key), *compiled);
  return compiled;
}

size_t GrammarCompiler::cached_bytes() const {
  const MutexLock lock(impl_->mutex);
  return impl_->bytes;
}

struct GrammarMatcher::Impl {
  std::shared_ptr<const CompiledGrammar> grammar;
  size_t vocab_size;
  xgrammar::GrammarMatcher matcher;
  bool broken = false;
};

GrammarMatcher::GrammarMatcher(std::shared_ptr<const CompiledGrammar> grammar) {
  xgrammar::GrammarMatcher matcher(grammar->impl_->compiled);
  const size_t vocab_size = grammar->impl_->vocab_size;
  impl_ = std::make_unique<Impl>(Impl{std::move(grammar), vocab_size, std::move(matcher)});
}

GrammarMatcher::~GrammarMatcher() = default;

bool GrammarMatcher::FillMask(std::span<uint32_t> mask) {
  PELTON_CHECK(mask.size() * 32 >= impl_->vocab_size, "a mask covers the vocabulary");
  std::fill(mask.begin(), mask.end(), 0u);
  if (impl_->broken) return false;
  int64_t words = static_cast<int64_t>((impl_->vocab_size + 31) / 32);
  DLTensor tensor{.data = mask.data(),
                  .device = {kDLCPU, 0},
                  .ndim = 1,
                  .dtype = xgrammar::GetBitmaskDLType(),
                  .shape = &words,
                  .strides = nullptr,
                  .byte_offset = 0};
  try {
    impl_->matcher.FillNextTokenBitmask(&tensor);
    return true;
  } catch (const std::exception&) {
    std::fill(mask.begin(), mask.end(), 0u);
    impl_->broken = true;
    return false;
  }
}

bool GrammarMatcher::Accept(int32_t id) {
  if (impl_->broken) return false;
  try {
    return impl_->matcher.AcceptToken(id);
  } catch (const std::exception&) {
    impl_->broken = true;
    return false;
  }
}

bool GrammarMatcher::AcceptText(std::string_view text) {
  if (impl_->broken) return false;
  try {
    return impl_->matcher.AcceptString(std::string(text));
  } catch (const std::exception&) {
    impl_->broken = true;
    return false;
  }
}

bool GrammarMatcher::IsComplete() const { return !impl_->broken && impl_->matcher.IsCompleted(); }

void GrammarMatcher::Retract(size_t count) {
  if (impl_->broken || count == 0) return;
  try {
    impl_->matcher.Rollback(static_cast<int>(count));
  } catch (const std::exception&) {
    impl_->broken = true;
  }
}

}  // namespace pelton
