#include "serving/ollama/ollama_models.h"

#include "serving/ollama/ollama_request.h"
#include "serving/request/field_reader.h"

namespace pelton {
namespace {

// What is known of a model; little of one that is not in memory.
Json DetailsJson(const ListedModel& listed) {
  Json details = {{"parent_model", ""},  {"format", ""},         {"family", ""},
                  {"families", nullptr}, {"parameter_size", ""}, {"quantization_level", ""}};
  if (listed.loaded == nullptr) return details;
  const ModelFiles& files = listed.loaded->model.files;
  details["format"] = files.gguf ? "gguf" : "safetensors";
  details["family"] = files.config.architecture;
  details["families"] = {files.config.architecture};
  return details;
}

Json ModelEntry(const ListedModel& listed) {
  return {{"name", listed.name}, {"model", listed.name}, {"modified_at", "1970-01-01T00:00:00Z"},
          {"size", 0},           {"digest", ""},         {"details", DetailsJson(listed)}};
}

}  // namespace

void AnswerTags(const ModelDirectory& models, const ApiCall& call) {
  Json list = Json::array();
  for (const ListedModel& listed : models.List()) list.push_back(ModelEntry(listed));
  SendJson(*call.response, ToText({{"models", std::move(list)}}));
}

void AnswerRunning(const ModelDirectory& models, const ApiCall& call) {
  Json list = Json::array();
  for (const ListedModel& listed : models.List()) {
    if (listed.loaded == nullptr) continue;
    const LanguageModel& model = listed.loaded->model;
    Json entry = ModelEntry(listed);
    entry["size"] = model.memory.packed_weight_bytes + model.memory.kv_bytes +
                    model.memory.arena_bytes + model.memory.scratch_bytes;
    entry["size_vram"] = 0;
    entry["context_length"] = model.context_tokens;
    list.push_back(std::move(entry));
  }
  SendJson(*call.response, ToText({{"models", std::move(list)}}));
}

void AnswerShow(const ModelDirectory& models, const ApiCall& call) {
  const Result<Json> object = ParseJson(call.request->body);
  if (!object.ok()) return call.Fail(ApiErrorOf(object.status()));
  if (!object->is_object()) return call.Fail({.message = "expected a JSON object"});
  FieldReader reader(*object);
  std::string name;
  bool verbose = false;
  reader.String("model", &name);
  reader.String("name", &name);
  reader.Bool("verbose", &verbose);
  reader.RefuseUnknown();
  if (!reader.ok()) return call.Fail(ApiErrorOf(reader.status(), reader.failed_field()));
  name = WithoutLatest(std::move(name));
  for (const ListedModel& listed : models.List()) {
    if (listed.name != name) continue;
    Json info = Json::object();
    Json capabilities = {"completion"};
    std::string chat_template;
    if (listed.loaded != nullptr) {
      const LanguageModel& model = listed.loaded->model;
      const ModelConfig& config = model.files.config;
      chat_template = model.files.chat_template;
      if (model.chat_template && model.chat_template->Mentions("tools")) {
        capabilities.push_back("tools");
      }
      info = {{"general.architecture", config.architecture},
              {config.architecture + ".context_length", config.context_tokens},
              {config.architecture + ".embedding_length", config.hidden},
              {config.architecture + ".block_count", config.layers}};
    }
    return SendJson(*call.response, ToText({{"modelfile", ""},
                                            {"parameters", ""},
                                            {"template", chat_template},
                                            {"modified_at", "1970-01-01T00:00:00Z"},
                                            {"details", DetailsJson(listed)},
                                            {"model_info", std::move(info)},
                                            {"capabilities", std::move(capabilities)}}));
  }
  call.Fail(UnknownModel(name, models));
}

}  // namespace pelton
