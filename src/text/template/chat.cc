#include "text/template/chat.h"

#include <utility>
#include <vector>

namespace pelton::jinja {

Result<std::string> RenderChat(const Template& chat_template, const ChatInputs& inputs,
                               TemplateError* error) {
  const auto fail = [&](std::string message) {
    if (error != nullptr) *error = {TemplateErrorKind::kRuntime, message, 0};
    return InvalidArgument(std::move(message));
  };
  if (!inputs.messages.is(Kind::kList)) return fail("the messages of a chat must be a list");
  if (!inputs.kwargs.is_none() && !inputs.kwargs.is(Kind::kDict)) {
    return fail("chat_template_kwargs must be an object");
  }
  std::vector<std::pair<Value, Value>> variables = {
      {Value::String("messages"), inputs.messages},
      {Value::String("tools"), inputs.tools},
      {Value::String("documents"), inputs.documents},
      {Value::String("add_generation_prompt"), Value::Bool(inputs.add_generation_prompt)},
      {Value::String("bos_token"), Value::String(inputs.bos_token)},
      {Value::String("eos_token"), Value::String(inputs.eos_token)},
  };
  if (!inputs.kwargs.is_none()) {
    if (inputs.kwargs.dict().Find("messages") != nullptr) {
      return fail("chat_template_kwargs must not contain 'messages'");
    }
    for (const DictObject::Entry& entry : inputs.kwargs.dict().entries) {
      variables.emplace_back(entry.key, entry.value);
    }
  }
  RenderOptions options;
  options.limits = inputs.limits;
  options.now = inputs.now;
  return chat_template.Render(Value::Dict(std::move(variables)), options, error);
}

}  // namespace pelton::jinja
