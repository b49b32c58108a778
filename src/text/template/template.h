#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <string_view>

#include "base/status.h"
#include "text/template/civil_time.h"
#include "text/template/value.h"

// Chat templates: the Jinja2 language as Hugging Face transformers configures it for
// apply_chat_template (immutable sandbox, trim_blocks, lstrip_blocks, loop controls, generation
// tags). The interpreter is Pelton's own: a template sees data and nothing else, and every resource
// that it can use has a limit. Source: Jinja2 3.1.6, transformers 5.23.
namespace pelton::jinja {

struct TemplateLimits {
  size_t max_source_bytes = 1 << 20;
  // Work of one rendering. A step pays for four statements, loop turns, calls, filters or tests,
  // for sixteen parts of expressions, or for 128 bytes of strings.
  uint64_t max_steps = 1'000'000;
  size_t max_output_bytes = 4 << 20;
  size_t max_value_bytes = 64 << 20;  // live strings, lists and dicts made by the template
  int max_depth = 64;                 // macros, call blocks and recursive loops inside each other
};

enum class TemplateErrorKind {
  kSyntax,     // the template is no Jinja, or uses a filter or test that does not exist
  kUndefined,  // a value that is not there was used as if it were
  kRuntime,    // an operation that its operands do not support
  kSecurity,   // an attribute that the sandbox forbids
  kRaise,      // the template called raise_exception; the message is the template's own
  kLimit,      // more work, output, memory or depth than TemplateLimits allows
};

// The word for a kind: "syntax", "undefined", "runtime", "security", "raise" or "limit".
std::string_view TemplateErrorKindName(TemplateErrorKind kind);

struct TemplateError {
  TemplateErrorKind kind = TemplateErrorKind::kRuntime;
  std::string message;  // without the line
  int line = 0;         // in the template, from 1
};

struct RenderOptions {
  TemplateLimits limits;
  // What strftime_now() prints. Empty: the local time when the template asks.
  std::optional<CivilTime> now;
  // Chooses what the filter `random` picks; one seed always gives one text.
  uint64_t random_seed = 0;
};

struct Program;

// A parsed template. Immutable: one instance may render in many threads at once. Copies share it.
class Template {
 public:
  // Fails with InvalidArgument whose message names the line. `error`, if given, receives the parts.
  static Result<Template> Parse(std::string_view source, const TemplateLimits& limits = {},
                                TemplateError* error = nullptr);

  // `variables` is a dict from names to values. Fails with InvalidArgument, or ResourceExhausted
  // for a limit; `error`, if given, receives kind, message and line.
  Result<std::string> Render(const Value& variables, const RenderOptions& options = {},
                             TemplateError* error = nullptr) const;

  // Whether the template's text reads the variable `name` anywhere, so that giving it can change
  // the outcome. For example "tools" or "enable_thinking".
  bool Mentions(std::string_view name) const;

 private:
  explicit Template(std::shared_ptr<const Program> program) : program_(std::move(program)) {}

  // Shared, because a template outlives the model registry's entry while requests still render it.
  std::shared_ptr<const Program> program_;
};

}  // namespace pelton::jinja
