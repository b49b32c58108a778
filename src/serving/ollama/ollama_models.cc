#include "serving/ollama/ollama_models.h"

#include <fmt/format.h>

#include "serving/ollama/ollama_request.h"
#include "serving/request/field_reader.h"
#include "serving/tenant/tenant_file.h"

namespace pelton {
namespace {

// "135M", "1.1B".
std::string CountText(uint64_t count) {
  if (count >= 1'000'000'000) return fmt::format("{:.1f}B", static_cast<double>(count) * 1e-9);
  return fmt::format("{:.0f}M", static_cast<double>(count) * 1e-6);
}

Json DetailsJson(const ModelFacts& facts) {
  return {{"parent_model", ""},
          {"format", facts.format},
          {"family", facts.architecture},
          {"families", {facts.architecture}},
          {"parameter_size", CountText(facts.parameters)},
          {"quantization_level", facts.quantization}};
}

Json ModelEntry(const ListedModel& listed, const std::string& name) {
  const ModelFacts& facts = *listed.facts;
  return {{"name", name},
          {"model", name},
          {"modified_at", TimeText(facts.modified)},
          {"size", facts.file_bytes},
          {"digest", ""},
          {"details", DetailsJson(facts)}};
}

}  // namespace

void AnswerTags(const ModelDirectory& models, const ApiCall& call) {
  Json list = Json::array();
  for (const ListedModel& listed : models.List()) {
    list.push_back(ModelEntry(listed, listed.called.name));
    for (const std::string& alias : listed.called.aliases) {
      list.push_back(ModelEntry(listed, alias));
    }
  }
  SendJson(*call.response, ToText({{"models", std::move(list)}}));
}

void AnswerRunning(const ModelDirectory& models, const ApiCall& call) {
  constexpr int64_t kNever = 7'258'118'400;  // the year 2200: clients expect a time
  Json list = Json::array();
  for (const ListedModel& listed : models.List()) {
    if (listed.opened.empty()) continue;
    Json entry = ModelEntry(listed, listed.called.name);
    entry["size"] = listed.memory_bytes;
    entry["size_vram"] = 0;
    entry["context_length"] =
        listed.context_tokens > 0 ? listed.context_tokens : listed.facts->context_tokens;
    entry["expires_at"] = TimeText(listed.unload_at.value_or(kNever));
    list.push_back(std::move(entry));
  }
  SendJson(*call.response, ToText({{"models", std::move(list)}}));
}

void AnswerShow(const ModelDirectory& models, const ApiCall& call) {
  const Result<Json> object = ParseObject(call.request->body);
  if (!object.ok()) return call.Fail(ApiErrorOf(object.status()));
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
    if (!listed.called.Is(name)) continue;
    const ModelFacts& facts = *listed.facts;
    Json capabilities = {listed.kind == ModelKind::kEncoder ? "embedding" : "completion"};
    if (facts.knows_tools) capabilities.push_back("tools");
    const std::string& family = facts.architecture;
    return SendJson(*call.response, ToText({{"modelfile", ""},
                                            {"parameters", ""},
                                            {"template", facts.chat_template},
                                            {"modified_at", TimeText(facts.modified)},
                                            {"details", DetailsJson(facts)},
                                            {"model_info",
                                             {{"general.architecture", family},
                                              {"general.parameter_count", facts.parameters},
                                              {family + ".context_length", facts.context_tokens},
                                              {family + ".embedding_length", facts.hidden},
                                              {family + ".block_count", facts.layers}}},
                                            {"capabilities", std::move(capabilities)}}));
  }
  call.Fail(UnknownModel(name, models));
}

}  // namespace pelton
