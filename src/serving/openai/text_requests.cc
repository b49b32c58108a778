#include "serving/openai/text_requests.h"

#include "serving/request/chat_messages.h"
#include "serving/request/prompt.h"

namespace pelton {
void AnswerTokenize(const LanguageModel& model, const ApiCall& call) {
  const Result<Json> object = ParseObject(call.request->body);
  if (!object.ok()) return call.Fail(ApiErrorOf(object.status()));
  FieldReader reader(*object);
  std::string ignored_model, prompt, content;
  bool add_special = true, add_generation_prompt = true;
  reader.String("model", &ignored_model);
  reader.String("prompt", &prompt);
  reader.String("content", &content);
  reader.Bool("add_special_tokens", &add_special);
  reader.Bool("add_special", &add_special);
  reader.Bool("add_generation_prompt", &add_generation_prompt);
  ChatPrompt chat{.add_generation_prompt = add_generation_prompt};
  const Json* messages = reader.Find("messages");
  if (messages != nullptr) {
    chat.messages = *messages;
    const MessageProblem problem = NormalizeMessages(&chat.messages);
    if (!problem.message.empty()) reader.Refuse(problem.param, problem.message);
  }
  const int given =
      int{messages != nullptr} + int{reader.Has("prompt")} + int{reader.Has("content")};
  if (given != 1) reader.Refuse("prompt", "expected one of prompt, content and messages");
  reader.RefuseUnknown();
  if (!reader.ok()) {
    return call.Fail(ApiErrorOf(reader.status(), reader.failed_field()));
  }
  std::vector<int32_t> ids;
  if (messages != nullptr) {
    Result<std::vector<int32_t>> encoded = EncodeChat(model, chat);
    if (!encoded.ok()) return call.Fail(ApiErrorOf(encoded.status(), "messages"));
    ids = std::move(encoded).value();
  } else {
    ids = model.tokenizer->Encode(prompt.empty() ? content : prompt,
                                  {.parse_special = true, .add_special = add_special});
  }
  SendJson(
      *call.response,
      ToText({{"tokens", ids}, {"count", ids.size()}, {"max_model_len", model.context_tokens}}));
}

void AnswerDetokenize(const LanguageModel& model, const ApiCall& call) {
  const Result<Json> object = ParseObject(call.request->body);
  if (!object.ok()) return call.Fail(ApiErrorOf(object.status()));
  FieldReader reader(*object);
  std::string ignored_model;
  std::vector<int32_t> ids;
  reader.String("model", &ignored_model);
  reader.Ids("tokens", &ids);
  if (!reader.Has("tokens")) reader.Fail("tokens", "a list of ids");
  for (const int32_t id : ids) {
    if (static_cast<size_t>(id) >= model.tokenizer->vocab_size()) {
      reader.Refuse("tokens", "tokens: found " + std::to_string(id) + ", expected ids below " +
                                  std::to_string(model.tokenizer->vocab_size()));
    }
  }
  reader.RefuseUnknown();
  if (!reader.ok()) {
    return call.Fail(ApiErrorOf(reader.status(), reader.failed_field()));
  }
  const std::string text = model.tokenizer->Decode(ids, false);
  SendJson(*call.response, ToText({{"prompt", text}, {"content", text}}));
}

std::string ModelJson(const ListedModel& listed) {
  const ModelFacts& facts = *listed.facts;
  const bool encoder = listed.kind == ModelKind::kEncoder;
  Json json = {{"id", listed.called.name},
               {"object", "model"},
               {"created", facts.modified},
               {"owned_by", "pelton"},
               {"loaded", !listed.opened.empty()}};
  if (encoder) json["embedding"] = true;
  if (!listed.called.aliases.empty()) json["aliases"] = listed.called.aliases;
  // What is chosen at the first load is not known before.
  if (encoder) json["max_model_len"] = facts.context_tokens;
  if (listed.context_tokens > 0) json["max_model_len"] = listed.context_tokens;
  json["meta"] = {{"architecture", facts.architecture},
                  {"quantization", facts.quantization},
                  {"n_params", facts.parameters},
                  {"size", facts.file_bytes},
                  {"n_vocab", facts.vocab}};
  json["meta"][encoder ? "n_embd" : "n_ctx_train"] = encoder ? facts.hidden : facts.context_tokens;
  return ToText(json);
}

}  // namespace pelton
