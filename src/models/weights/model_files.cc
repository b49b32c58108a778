#include "models/weights/model_files.h"

#include <fmt/format.h>

#include <filesystem>
#include <system_error>

#include "models/weights/field_error.h"
#include "models/weights/gguf.h"
#include "models/weights/json_fields.h"
#include "models/weights/model_folder.h"
#include "models/weights/safetensors.h"

namespace pelton {
namespace {

namespace fs = std::filesystem;

constexpr size_t kMaxConfigBytes = 16u << 20;
constexpr size_t kMaxTemplateBytes = 4u << 20;

Result<ModelFiles> OpenGgufModel(const std::string& path, const std::string& given) {
  ASSIGN_OR_RETURN(GgufModel model, OpenGguf(path));
  ASSIGN_OR_RETURN(ModelConfig config, ConfigFromGguf(model.metadata, model.weights, model.file));
  ModelFiles files{.path = given,
                   .config = std::move(config),
                   .weights = std::move(model.weights),
                   .gguf = std::nullopt,
                   .tokenizer_json_path = {},
                   .tokenizer_model_path = {},
                   .chat_template = {},
                   .bos_text = {},
                   .eos_text = {}};
  const GgufMetadata& metadata = files.gguf.emplace(std::move(model.metadata));
  if (const GgufValue* text = metadata.Find("tokenizer.chat_template")) {
    if (text->is_array() || !text->String() || text->String()->size() > kMaxTemplateBytes) {
      return FieldError(model.file, "metadata key \"tokenizer.chat_template\"",
                        text->is_array() ? text->Text() : "something else",
                        fmt::format("a string of at most {} bytes", kMaxTemplateBytes));
    }
    files.chat_template = *text->String();
  }
  const auto token_text = [&](std::string_view key) -> std::string {
    const GgufValue* id = metadata.Find(key);
    const GgufValue* tokens = metadata.Find("tokenizer.ggml.tokens");
    const auto index = id == nullptr ? std::nullopt : id->Unsigned();
    if (tokens == nullptr || !index) return {};
    return std::string(tokens->String(static_cast<size_t>(*index)).value_or(""));
  };
  files.bos_text = token_text("tokenizer.ggml.bos_token_id");
  files.eos_text = token_text("tokenizer.ggml.eos_token_id");
  return files;
}

// bos_token and eos_token are a text, or an object with the text as "content".
Result<std::string> ReadTokenText(const JsonFields& fields, std::string_view name) {
  const auto value = fields.Find(name);
  if (!value) return std::string();
  if (!value->is_object()) {
    ASSIGN_OR_RETURN(const auto text, fields.String(name));
    return text.value_or("");
  }
  ASSIGN_OR_RETURN(const auto object, fields.Object(name));
  ASSIGN_OR_RETURN(const auto text, object->String("content"));
  return text.value_or("");
}

// chat_template is a text, or a list of {"name", "template"} of which "default" counts.
Result<std::string> ReadTemplate(const JsonFields& fields) {
  constexpr std::string_view kName = "chat_template";
  const auto value = fields.Find(kName);
  if (!value) return std::string();
  simdjson::dom::array list;
  if (value->get(list) != simdjson::SUCCESS) {
    ASSIGN_OR_RETURN(const auto text, fields.String(kName));
    return text.value_or("");
  }
  for (const simdjson::dom::element item : list) {
    ASSIGN_OR_RETURN(const JsonFields entry, JsonFields::Of(item, fields.file(), kName));
    ASSIGN_OR_RETURN(const auto name, entry.String("name"));
    ASSIGN_OR_RETURN(const auto text, entry.String("template"));
    if (name == "default") return text.value_or("");
  }
  return std::string();
}

Status ReadTokenizerConfig(const std::string& path, ModelFiles* files) {
  ASSIGN_OR_RETURN(const std::string text, ReadTextFile(path, kMaxConfigBytes));
  ASSIGN_OR_RETURN(const JsonDocument document, JsonDocument::Parse(text, path));
  ASSIGN_OR_RETURN(const JsonFields fields, JsonFields::Of(document.root(), path, ""));
  ASSIGN_OR_RETURN(files->chat_template, ReadTemplate(fields));
  ASSIGN_OR_RETURN(files->bos_text, ReadTokenText(fields, "bos_token"));
  ASSIGN_OR_RETURN(files->eos_text, ReadTokenText(fields, "eos_token"));
  return OkStatus();
}

Result<ModelConfig> ReadFolderConfig(const std::string& folder, const std::string& config_path) {
  ASSIGN_OR_RETURN(const std::string text, ReadTextFile(config_path, kMaxConfigBytes));
  ASSIGN_OR_RETURN(ModelConfig config, ConfigFromJson(text, config_path));
  ASSIGN_OR_RETURN(const auto generation, FindModelFile(folder, "generation_config.json"));
  if (generation) {
    ASSIGN_OR_RETURN(const std::string more, ReadTextFile(*generation, kMaxConfigBytes));
    RETURN_IF_ERROR(AddGenerationConfig(more, *generation, &config));
  }
  return config;
}

Status FindTextFiles(const std::string& folder, ModelFiles* files) {
  ASSIGN_OR_RETURN(const auto json, FindModelFile(folder, "tokenizer.json"));
  ASSIGN_OR_RETURN(const auto model, FindModelFile(folder, "tokenizer.model"));
  ASSIGN_OR_RETURN(const auto config, FindModelFile(folder, "tokenizer_config.json"));
  ASSIGN_OR_RETURN(const auto jinja, FindModelFile(folder, "chat_template.jinja"));
  files->tokenizer_json_path = json.value_or("");
  files->tokenizer_model_path = model.value_or("");
  if (config) RETURN_IF_ERROR(ReadTokenizerConfig(*config, files));
  if (jinja) {
    ASSIGN_OR_RETURN(files->chat_template, ReadTextFile(*jinja, kMaxTemplateBytes));
  }
  return OkStatus();
}

Result<ModelFiles> OpenSafetensorsModel(const std::string& folder, const std::string& config_path) {
  ASSIGN_OR_RETURN(ModelConfig config, ReadFolderConfig(folder, config_path));
  ASSIGN_OR_RETURN(WeightSource weights, OpenSafetensors(folder));
  ModelFiles files{.path = folder,
                   .config = std::move(config),
                   .weights = std::move(weights),
                   .gguf = std::nullopt,
                   .tokenizer_json_path = {},
                   .tokenizer_model_path = {},
                   .chat_template = {},
                   .bos_text = {},
                   .eos_text = {}};
  RETURN_IF_ERROR(FindTextFiles(folder, &files));
  return files;
}

// The GGUF files of a folder that begin a model: all but parts 2 and up of split ones.
std::vector<std::string> GgufModelsIn(const std::string& folder) {
  std::vector<std::string> paths;
  std::error_code error;
  for (fs::directory_iterator it(folder, error), end; !error && it != end; it.increment(error)) {
    const std::string path = it->path().string();
    const size_t of = path.rfind("-of-");
    const bool later_part =
        path.size() >= 20 && of == path.size() - 14 && path.compare(of - 6, 6, "-00001") != 0;
    std::error_code ignored;
    if (path.ends_with(kGgufExtension) && !later_part && it->is_regular_file(ignored)) {
      paths.push_back(path);
    }
  }
  return paths;
}

Result<ModelFiles> OpenFolder(const std::string& folder) {
  ASSIGN_OR_RETURN(const auto config_path, FindModelFile(folder, "config.json"));
  const std::vector<std::string> ggufs = GgufModelsIn(folder);
  ASSIGN_OR_RETURN(const auto single, FindModelFile(folder, "model.safetensors"));
  ASSIGN_OR_RETURN(const auto index, FindModelFile(folder, "model.safetensors.index.json"));
  const bool has_safetensors = single || index;
  if (config_path && has_safetensors) return OpenSafetensorsModel(folder, *config_path);
  if (ggufs.size() == 1 && !has_safetensors) return OpenGgufModel(ggufs[0], folder);
  if (ggufs.size() > 1) {
    return NotFound(fmt::format("{}: found {} GGUF models in the folder, expected the path of one",
                                folder, ggufs.size()));
  }
  return NotFound(
      fmt::format("{}: found {} in the folder, expected config.json and model.safetensors (or "
                  "model.safetensors.index.json), or a .gguf file",
                  folder,
                  config_path       ? "only config.json"
                  : has_safetensors ? "no config.json"
                                    : "no model"));
}

}  // namespace

Result<ModelFiles> OpenModel(const std::string& path) {
  std::error_code error;
  const fs::file_status status = fs::status(path, error);
  if (status.type() == fs::file_type::not_found) {
    return NotFound(path + ": no such file or folder");
  }
  if (status.type() == fs::file_type::directory) return OpenFolder(path);
  if (status.type() != fs::file_type::regular) {
    return InvalidArgument(path + ": expected a model file or a folder" +
                           (error ? ": " + error.message() : ""));
  }
  return OpenGgufModel(path, path);
}

}  // namespace pelton
