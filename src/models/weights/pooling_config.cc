#include "models/weights/pooling_config.h"

#include <fmt/format.h>

#include "models/weights/config_fields.h"
#include "models/weights/json_fields.h"
#include "models/weights/model_folder.h"

namespace pelton {
namespace {

constexpr size_t kMaxFileBytes = 1u << 20;

Result<PoolingConfig> FromGguf(const ModelFiles& files) {
  PoolingConfig config;
  const std::string key = files.config.model_type + ".pooling_type";
  const GgufValue* value = files.gguf->Find(key);
  if (value == nullptr) return config;
  const auto type = value->is_array() ? std::nullopt : value->Unsigned();
  // llama.cpp's numbers: 0 none, 1 mean, 2 cls, 3 last, 4 rank.
  constexpr std::string_view kModes[] = {"mean", "mean", "cls", "last"};
  if (!type || *type >= std::size(kModes)) {
    return UnsupportedField(files.config.file, key, value->Text(), "0 to 3");
  }
  config.mode = kModes[*type];
  return config;
}

Result<PoolingConfig> FromFolder(const std::string& folder) {
  PoolingConfig config;
  ASSIGN_OR_RETURN(const auto main, FindModelFile(folder, "config.json"));
  if (main) {
    ASSIGN_OR_RETURN(const std::string text, ReadTextFile(*main, kMaxFileBytes));
    ASSIGN_OR_RETURN(const JsonDocument document, JsonDocument::Parse(text, *main));
    ASSIGN_OR_RETURN(const JsonFields fields, JsonFields::Of(document.root(), *main, ""));
    ASSIGN_OR_RETURN(const auto matryoshka, fields.Bool("is_matryoshka"));
    config.matryoshka = matryoshka.value_or(false) || fields.Has("matryoshka_dimensions");
  }
  ASSIGN_OR_RETURN(const auto modules_path, FindModelFile(folder, "modules.json"));
  if (!modules_path) return config;
  ASSIGN_OR_RETURN(const std::string text, ReadTextFile(*modules_path, kMaxFileBytes));
  ASSIGN_OR_RETURN(const SentenceModules modules, SentenceModulesFromJson(text, *modules_path));
  config.normalize = modules.normalize;
  if (modules.pooling_folder.empty()) return config;
  ASSIGN_OR_RETURN(const auto pooling_path,
                   FindModelFile(folder + "/" + modules.pooling_folder, "config.json"));
  if (!pooling_path) {
    return FieldError(*modules_path, "the pooling module's folder", "no config.json", "one");
  }
  ASSIGN_OR_RETURN(const std::string pooling, ReadTextFile(*pooling_path, kMaxFileBytes));
  ASSIGN_OR_RETURN(config.mode, PoolingModeFromJson(pooling, *pooling_path));
  return config;
}

}  // namespace

Result<SentenceModules> SentenceModulesFromJson(std::string_view text, std::string_view file) {
  ASSIGN_OR_RETURN(const JsonDocument document, JsonDocument::Parse(text, file));
  simdjson::dom::array list;
  if (document.root().get(list) != simdjson::SUCCESS) {
    return FieldError(file, "the file", DescribeJson(document.root()), "a list of modules");
  }
  SentenceModules modules;
  for (const simdjson::dom::element item : list) {
    ASSIGN_OR_RETURN(const JsonFields module, JsonFields::Of(item, file, "module"));
    ASSIGN_OR_RETURN(const auto stated, module.String("type"));
    const std::string type = stated.value_or("");
    const std::string name = type.substr(type.rfind('.') + 1);
    if (name == "Pooling") {
      ASSIGN_OR_RETURN(const auto folder, module.String("path"));
      modules.pooling_folder = folder.value_or("");
      if (!IsPlainFileName(modules.pooling_folder)) {
        return FieldError(file, module.PathOf("path"), Quoted(modules.pooling_folder),
                          "the name of a folder");
      }
    } else if (name == "Normalize") {
      modules.normalize = true;
    } else if (name != "Transformer") {
      return UnsupportedField(file, module.PathOf("type"), Quoted(type),
                              "Transformer, Pooling or Normalize");
    }
  }
  return modules;
}

Result<std::string> PoolingModeFromJson(std::string_view text, std::string_view file) {
  ASSIGN_OR_RETURN(const JsonDocument document, JsonDocument::Parse(text, file));
  ASSIGN_OR_RETURN(const JsonFields fields, JsonFields::Of(document.root(), file, ""));
  struct Mode {
    std::string_view field;
    std::string_view name;  // empty: not supported
  };
  constexpr Mode kModes[] = {
      {"pooling_mode_mean_tokens", "mean"},      {"pooling_mode_cls_token", "cls"},
      {"pooling_mode_lasttoken", "last"},        {"pooling_mode_max_tokens", ""},
      {"pooling_mode_mean_sqrt_len_tokens", ""}, {"pooling_mode_weightedmean_tokens", ""}};
  ASSIGN_OR_RETURN(const auto named, fields.String("pooling_mode"));
  if (named) {
    if (*named == "mean" || *named == "cls") return *named;
    if (*named == "lasttoken") return std::string("last");
    return UnsupportedField(file, "pooling_mode", Quoted(*named), "mean, cls or lasttoken");
  }
  std::string mode;
  for (const Mode& m : kModes) {
    ASSIGN_OR_RETURN(const auto on, fields.Bool(m.field));
    if (!on.value_or(false)) continue;
    if (m.name.empty() || !mode.empty()) {
      return UnsupportedField(file, m.field, "true", "one of mean, cls and last alone");
    }
    mode = m.name;
  }
  return mode.empty() ? "mean" : mode;
}

Result<PoolingConfig> ReadPoolingConfig(const ModelFiles& files) {
  return files.gguf ? FromGguf(files) : FromFolder(files.path);
}

}  // namespace pelton
