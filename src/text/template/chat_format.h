#pragma once

#include <string>
#include <utility>
#include <variant>

#include "base/status.h"
#include "text/template/chat.h"
#include "text/template/deepseek_chat.h"
#include "text/template/template.h"

namespace pelton::jinja {

// What writes a model's prompts: the chat template of its files, or code for models that come
// without one. Immutable: one instance may render in many threads at once.
class ChatFormat {
 public:
  explicit ChatFormat(Template chat_template) : format_(std::move(chat_template)) {}
  explicit ChatFormat(DeepSeekVersion version) : format_(version) {}

  // The prompt; fails like RenderChat and RenderDeepSeekChat.
  Result<std::string> Render(const ChatInputs& inputs, TemplateError* error = nullptr) const {
    if (chat_template() != nullptr) return RenderChat(*chat_template(), inputs, error);
    return RenderDeepSeekChat(std::get<DeepSeekVersion>(format_), inputs, error);
  }

  // Null: prompts are written by code.
  const Template* chat_template() const { return std::get_if<Template>(&format_); }

  // Whether prompts tell the model of its tools.
  bool KnowsTools() const {
    return chat_template() == nullptr || chat_template()->Mentions("tools");
  }

 private:
  std::variant<Template, DeepSeekVersion> format_;
};

}  // namespace pelton::jinja
