#include "text/template/template.h"

#include <utility>

#include "text/template/ast.h"
#include "text/template/interpreter.h"
#include "text/template/lexer.h"
#include "text/template/parser.h"
#include "text/template/scopes.h"
#include "text/template/unicode_text.h"

namespace pelton::jinja {
namespace {

Result<std::shared_ptr<const Program>> ParseProgram(std::string_view source,
                                                    const TemplateLimits& limits,
                                                    TemplateError& error) {
  error = {TemplateErrorKind::kSyntax, "", 1};
  if (source.size() > limits.max_source_bytes) {
    error.kind = TemplateErrorKind::kLimit;
    error.message = "the template has " + std::to_string(source.size()) + " bytes, more than " +
                    std::to_string(limits.max_source_bytes);
    return ResourceExhausted(error.message);
  }
  if (!IsValidUtf8(source)) {
    error.message = "the template is not UTF-8";
    return InvalidArgument(error.message);
  }
  auto program = std::make_shared<Program>();
  program->source = NormalizeNewlines(source);
  ASSIGN_OR_RETURN(std::vector<Token> tokens, Tokenize(program->source, error));
  ASSIGN_OR_RETURN(program->body, Parser(tokens, error).ParseTemplate());
  RETURN_IF_ERROR(ResolveScopes(*program, error));
  return std::shared_ptr<const Program>(std::move(program));
}

bool AnyReads(const FrameLayout& layout, std::string_view name) {
  for (const FrameLayout::Variable& variable : layout.variables) {
    if (variable.load == Load::kResolve && variable.name == name) return true;
  }
  return false;
}

bool AnyReads(const StmtList& body, std::string_view name) {
  for (const StmtPtr& stmt : body) {
    if (AnyReads(stmt->frame, name) || AnyReads(stmt->test_frame, name) ||
        AnyReads(stmt->else_frame, name) || AnyReads(stmt->body, name) ||
        AnyReads(stmt->otherwise, name)) {
      return true;
    }
    for (const Stmt::Branch& branch : stmt->branches) {
      if (AnyReads(branch.body, name)) return true;
    }
  }
  return false;
}

}  // namespace

std::string_view TemplateErrorKindName(TemplateErrorKind kind) {
  switch (kind) {
    case TemplateErrorKind::kSyntax:
      return "syntax";
    case TemplateErrorKind::kUndefined:
      return "undefined";
    case TemplateErrorKind::kRuntime:
      return "runtime";
    case TemplateErrorKind::kSecurity:
      return "security";
    case TemplateErrorKind::kRaise:
      return "raise";
    case TemplateErrorKind::kLimit:
      return "limit";
  }
  return "runtime";
}

Result<Template> Template::Parse(std::string_view source, const TemplateLimits& limits,
                                 TemplateError* error) {
  TemplateError found;
  Result<std::shared_ptr<const Program>> program = ParseProgram(source, limits, found);
  if (program.ok()) return Template(std::move(program).value());
  if (error != nullptr) *error = found;
  return Status(program.status().code(),
                "chat template, line " + std::to_string(found.line) + ": " + found.message);
}

Result<std::string> Template::Render(const Value& variables, const RenderOptions& options,
                                     TemplateError* error) const {
  if (!variables.is(Kind::kDict) || variables.depth() > kMaxValueDepth) {
    const bool is_dict = variables.is(Kind::kDict);
    TemplateError found{is_dict ? TemplateErrorKind::kLimit : TemplateErrorKind::kRuntime,
                        is_dict ? "the variables of a chat template are nested too deeply"
                                : "the variables of a chat template must be a dict",
                        0};
    if (error != nullptr) *error = found;
    return InvalidArgument(found.message);
  }
  Interpreter interpreter(*program_, variables, options);
  Result<std::string> text = interpreter.Run();
  if (!text.ok() && error != nullptr) *error = interpreter.error();
  return text;
}

bool Template::Mentions(std::string_view name) const {
  return AnyReads(program_->root, name) || AnyReads(program_->body, name);
}

}  // namespace pelton::jinja
