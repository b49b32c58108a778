#include "serving/model/chat_prompt.h"

#include "text/template/chat.h"
#include "text/template/value_json.h"

namespace pelton {

Result<std::string> RenderMessages(const LanguageModel& model, std::string_view messages_json) {
  if (!model.chat_template) {
    return InvalidArgument(model.files.path +
                           ": the model has no chat template; give the prompt raw");
  }
  jinja::ChatInputs inputs;
  ASSIGN_OR_RETURN(inputs.messages, jinja::ValueFromJson(messages_json));
  inputs.bos_token = model.bos_text;
  inputs.eos_token = model.eos_text;
  return jinja::RenderChat(*model.chat_template, inputs);
}

}  // namespace pelton
