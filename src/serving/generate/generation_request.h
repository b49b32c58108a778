#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "runtime/sequence/sampling_params.h"
#include "serving/api/api_error.h"
#include "serving/model/language_model.h"
#include "serving/request/prompt.h"
#include "serving/request/service_terms.h"
#include "text/grammar/grammar.h"
#include "text/parsers/output_parser.h"

namespace pelton {

// How the text of an answer is read.
struct OutputFormat {
  std::string family;  // of OutputParserFamilies, or empty
  std::vector<ToolSpec> tools;
  bool reasoning_open = false;  // the prompt ends inside the reasoning
};

// Which tools the model may call, or must.
struct ToolChoice {
  enum class Kind : uint8_t { kAuto, kRequired, kNamed };
  Kind kind = Kind::kAuto;
  std::string name;      // kNamed
  bool parallel = true;  // several calls in one answer
};

// How many tokens a prompt may have at most, where it is not the context that says so.
struct PromptLimit {
  size_t tokens;
  std::string field = "";  // of the request, for errors
};

// What every interface's request to generate becomes: checked, and in token ids.
struct GenerationRequest {
  std::vector<std::vector<int32_t>> prompts;  // each is answered n times
  SamplingParams params;
  uint32_t n = 1;
  ServiceTerms terms;
  ToolChoice tool_choice;
  std::optional<GrammarSource> constraint;         // what the output must be
  std::string constraint_field;                    // of the request, for errors
  std::optional<uint32_t> thinking_budget;         // tokens of reasoning; absent: any number
  std::shared_ptr<const CompiledGrammar> grammar;  // of both, by CompileOutput
  std::optional<OutputFormat> format;              // absent: the text is content as it is
  std::string prompt_field = "messages";           // that errors about the prompt name
  std::optional<PromptLimit> prompt_limit;         // absent: the context's
  std::string call_id_prefix = "call_";            // of tool calls that the model gave no id

  size_t choices() const { return prompts.size() * n; }
};

// Answers of one request.
inline constexpr size_t kMaxChoices = 128;

// Checks `tools`, in OpenAI's form, and puts them into the chat and into the request's format; the
// problem, or nothing. Without tools in the list nothing happens. `forced`: a model whose template
// knows no tools is taken, too, since its answer will be made a call.
std::string AddTools(const LanguageModel& model, const Json& tools, ChatPrompt* chat,
                     GenerationRequest* request, bool forced = false);

// The problem of a choice that forces a call of a tool that is not there; or nothing. Requires: the
// tools were added.
std::string ToolChoiceProblem(const GenerationRequest& request);

// Adds the tokens of a text as a prompt, `add_special` with those that the model expects around it.
// The refusal of a long text that has more than its limit for sure, before it is tokenised; what
// else does not fit is the engine's to refuse.
std::optional<ApiError> AddPrompt(const LanguageModel& model, std::string_view text,
                                  bool add_special, GenerationRequest* request);

// Checks the messages, renders the chat and adds it as the request's prompt, to be read by the
// parser of the model's template; compiles what the output must be. The error's param is a place in
// `prompt_field`. Takes time linear in the chat.
std::optional<ApiError> AddChat(const LanguageModel& model, ChatPrompt chat,
                                GenerationRequest* request);

// The error of parameters out of their range; its param is the field of SamplingParams.
std::optional<ApiError> CheckParams(const LanguageModel& model, const SamplingParams& params);

}  // namespace pelton
