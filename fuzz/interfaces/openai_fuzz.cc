#include <cstddef>
#include <cstdint>
#include <optional>
#include <string_view>

#include "serving/openai/openai_request.h"
#include "text_model.h"

// Any text as the body of a request to OpenAI's chat/completions and completions.

namespace pelton {
namespace {

void RunOne(std::string_view body) {
  for (const auto read : {&ReadChatRequest, &ReadCompletionRequest}) {
    OpenAiRequest request;
    if (const std::optional<ApiError> error = read(TextModel(), body, &request)) {
      CheckRefusal(*error, body);
      continue;
    }
    CheckGeneration(request.generation);
    Check(request.form.chat == (read == &ReadChatRequest));
    Check(request.form.choices == request.generation.choices());
    Check(request.form.echo.empty() ||
          request.form.echo.size() == request.generation.prompts.size());
    Check(request.form.stream || !request.form.include_usage);
  }
}

}  // namespace
}  // namespace pelton

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  pelton::RunOne({reinterpret_cast<const char*>(data), size});
  return 0;
}
