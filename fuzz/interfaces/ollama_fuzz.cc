#include <cstddef>
#include <cstdint>
#include <optional>
#include <string_view>

#include "serving/ollama/ollama_request.h"
#include "text_model.h"

// Any text as the body of a request to Ollama's /api/chat and /api/generate. A context that is
// accepted holds the prompt and what may be written.

namespace pelton {
namespace {

// options.num_ctx, if there is a sound one.
std::optional<uint64_t> ContextOf(std::string_view body) {
  const Result<Json> json = ParseJson(body);
  if (!json.ok() || !json->is_object() || !json->contains("options")) return std::nullopt;
  const Json& options = (*json)["options"];
  if (!options.is_object() || !options.contains("num_ctx")) return std::nullopt;
  if (!options["num_ctx"].is_number_unsigned()) return std::nullopt;
  return options["num_ctx"].get<uint64_t>();
}

void RunOne(std::string_view body) {
  for (const bool chat : {true, false}) {
    OllamaRequest request;
    const std::optional<ApiError> error = ReadOllamaRequest(TextModel(), body, chat, &request);
    if (error) {
      CheckRefusal(*error, body);
      continue;
    }
    Check(request.chat == chat && !request.model.empty());
    const GenerationRequest& generation = request.generation;
    Check(generation.params.Validate(TextModel().files.config.vocab).ok());
    if (request.only_load) continue;
    CheckGeneration(generation);
    if (const std::optional<uint64_t> context = ContextOf(body)) {
      Check(generation.prompts[0].size() < *context);
      Check(generation.params.max_tokens &&
            generation.prompts[0].size() + *generation.params.max_tokens <= *context);
    }
  }
}

}  // namespace
}  // namespace pelton

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  pelton::RunOne({reinterpret_cast<const char*>(data), size});
  return 0;
}
