#include "text_model.h"

#include <algorithm>
#include <memory>
#include <string>
#include <utility>

#include "serving/request/field_reader.h"
#include "text/parsers/output_parser.h"

namespace pelton {
namespace {

// In Hermes' form, as most families have it.
constexpr std::string_view kTemplate =
    R"({%- if tools %}<|im_start|>system
<tools>{% for tool in tools %}{{ tool | tojson }}
{% endfor %}</tools> <tool_call>{"name": <function-name>, "arguments": <args-json-object>}</tool_call><|im_end|>
{% endif %}{%- for message in messages %}<|im_start|>{{ message.role }}
{% if message.reasoning_content %}<think>{{ message.reasoning_content }}</think>{% endif %}{{ message.content }}{% for call in message.tool_calls %}<tool_call>{{ call.function | tojson }}</tool_call>{% endfor %}<|im_end|>
{% endfor %}{%- if add_generation_prompt %}<|im_start|>assistant
{% if enable_thinking is defined and not enable_thinking %}<think></think>{% endif %}{% endif %})";

// GPT-2's alphabet in JSON: the letter of each byte.
std::string ByteVocabulary() {
  std::string json = R"({"pre_tokenizer": {"type": "ByteLevel", "add_prefix_space": false},
    "decoder": {"type": "ByteLevel"},
    "added_tokens": [{"id": 257, "content": "<|im_end|>", "special": true}],
    "model": {"type": "BPE", "merges": [["a", "b"]], "vocab": {"ab": 256)";
  unsigned next = 0x100;
  for (unsigned byte = 0; byte < 256; ++byte) {
    const bool printable = (byte >= '!' && byte <= '~') || (byte >= 0xA1 && byte != 0xAD);
    const unsigned code_point = printable ? byte : next++;
    static constexpr char kHex[] = "0123456789abcdef";
    json += ", \"\\u0";
    for (const unsigned shift : {8u, 4u, 0u}) json += kHex[code_point >> shift & 15];
    json += "\": " + std::to_string(byte);
  }
  return json + "}}}";
}

std::unique_ptr<LanguageModel> MakeTextModel() {
  Result<WeightSource> nothing = WeightSource::Create({.format = WeightFormat::kGguf});
  auto model = std::make_unique<LanguageModel>(
      ModelFiles{.path = "model", .weights = std::move(nothing).value()});
  model->files.chat_template = kTemplate;
  model->tokenizer = std::move(TokenizerFromJson(ByteVocabulary()).value());
  model->files.config.vocab = static_cast<uint32_t>(model->tokenizer->vocab_size());
  model->chat.format.emplace(std::move(jinja::Template::Parse(kTemplate).value()));
  model->chat.parser_family = FamilyOfTemplate(kTemplate);
  model->context_tokens = 4096;
  Check(!model->chat.parser_family.empty());
  return model;
}

}  // namespace

void Check(bool condition) {
  if (!condition) __builtin_trap();
}

const LanguageModel& TextModel() {
  static const std::unique_ptr<LanguageModel> model = MakeTextModel();
  return *model;
}

void CheckRefusal(const ApiError& error, std::string_view body) {
  constexpr size_t kWords = 4096;  // of our own, beside parts of the body that are cited
  Check(error.status == 400);
  Check(!error.message.empty() && error.message.size() <= kWords + 6 * body.size());
  if (!error.param.empty()) return;
  const Result<Json> json = ParseJson(body);
  Check(!json.ok() || !json->is_object() || json->contains(""));
}

void CheckGeneration(const GenerationRequest& request) {
  const size_t vocab = TextModel().files.config.vocab;
  Check(!request.prompts.empty() && request.n >= 1 && request.choices() <= kMaxChoices);
  for (const std::vector<int32_t>& prompt : request.prompts) {
    Check(std::ranges::all_of(
        prompt, [&](int32_t id) { return id >= 0 && static_cast<size_t>(id) < vocab; }));
  }
  Check(request.params.Validate(vocab).ok());
  Check(request.terms.first_token_within_ns >= 0);
  const ToolChoice& choice = request.tool_choice;
  if (choice.kind == ToolChoice::Kind::kAuto) return;
  // A call that is forced is one of the tools, and the grammar sees to it.
  Check(request.format && !request.format->tools.empty() && request.grammar != nullptr);
  Check(choice.kind != ToolChoice::Kind::kNamed ||
        std::ranges::any_of(request.format->tools,
                            [&](const ToolSpec& tool) { return tool.name == choice.name; }));
}

}  // namespace pelton
