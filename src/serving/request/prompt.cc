#include "serving/request/prompt.h"

#include "text/template/value_json.h"

namespace pelton {
namespace {

// Adapts the text layer's decoder to the engine.
class StreamTextDecoder final : public TextDecoder {
 public:
  StreamTextDecoder(const Tokenizer& tokenizer, bool skip_special)
      : decoder_(tokenizer, skip_special) {}
  void Append(int32_t id, std::string& out) override { out += decoder_.Feed(id); }
  void Finish(std::string& out) override { out += decoder_.Flush(); }

 private:
  StreamDecoder decoder_;
};

Result<jinja::Value> ToTemplateValue(const Json& json) {
  if (json.is_null()) return jinja::Value();
  return jinja::ValueFromJson(ToText(json));
}

}  // namespace

std::vector<int32_t> EncodeRaw(const LanguageModel& model, std::string_view text) {
  return model.tokenizer->Encode(text, {.parse_special = true, .add_special = true});
}

Result<std::string> RenderPrompt(const LanguageModel& model, const ChatPrompt& chat) {
  if (!model.chat.format) {
    return InvalidArgument(model.files.path +
                           ": the model has no chat template; give the prompt raw");
  }
  jinja::ChatInputs inputs;
  ASSIGN_OR_RETURN(inputs.messages, ToTemplateValue(chat.messages));
  ASSIGN_OR_RETURN(inputs.tools, ToTemplateValue(chat.tools));
  ASSIGN_OR_RETURN(inputs.kwargs, ToTemplateValue(chat.kwargs));
  inputs.add_generation_prompt = chat.add_generation_prompt;
  inputs.bos_token = model.bos_text;
  inputs.eos_token = model.eos_text;
  return model.chat.format->Render(inputs);
}

Result<std::vector<int32_t>> EncodeChat(const LanguageModel& model, const ChatPrompt& chat) {
  ASSIGN_OR_RETURN(const std::string text, RenderPrompt(model, chat));
  return model.tokenizer->Encode(text, {.parse_special = true, .add_special = false});
}

std::unique_ptr<TextDecoder> MakeTextDecoder(const LanguageModel& model, bool skip_special) {
  if (model.tokenizer == nullptr) return nullptr;
  return std::make_unique<StreamTextDecoder>(*model.tokenizer, skip_special);
}

}  // namespace pelton
