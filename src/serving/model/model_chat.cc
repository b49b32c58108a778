#include "serving/model/model_chat.h"

#include <utility>

#include "text/parsers/output_parser.h"

namespace pelton {

Result<ModelChat> ChatOf(const ModelFiles& files) {
  using jinja::ChatFormat;
  if (!files.chat_template.empty()) {
    Result<jinja::Template> parsed = jinja::Template::Parse(files.chat_template);
    if (!parsed.ok()) return parsed.status().WithContext(files.path + ": chat template");
    return ModelChat{.format = ChatFormat(*std::move(parsed)),
                     .parser_family = std::string(FamilyOfTemplate(files.chat_template))};
  }
  if (files.tokenizer_json_path.empty()) return ModelChat();
  if (files.config.architecture == "deepseek4") {
    return ModelChat{.format = ChatFormat(jinja::DeepSeekVersion::kV4),
                     .parser_family = "deepseek-v4"};
  }
  // What sets V3.2 apart from the versions before, which have templates.
  if (files.config.architecture == "deepseek2" && files.config.indexer) {
    return ModelChat{.format = ChatFormat(jinja::DeepSeekVersion::kV32),
                     .parser_family = "deepseek-v3.2"};
  }
  return ModelChat();
}

}  // namespace pelton
