#include <chrono>
#include <cstdint>
#include <string>
#include <string_view>

#include "base/check.h"
#include "text/template/deepseek_chat.h"
#include "text/template/value_json.h"

// Input: a byte of switches (V4, no generation prompt), then a chat as JSON: {"messages", "tools",
// "kwargs"}. A prompt is UTF-8, begins with BOS, keeps its limit and is the same the next time; a
// refusal says why.
namespace pelton::jinja {
namespace {

void RenderOne(uint8_t switches, const Value& chat) {
  ChatInputs inputs;
  inputs.limits.max_output_bytes = 1 << 16;
  inputs.add_generation_prompt = (switches & 2) == 0;
  const auto read = [&](const char* name, Value* value) {
    if (const Value* found = chat.dict().Find(name)) *value = *found;
  };
  read("messages", &inputs.messages);
  read("tools", &inputs.tools);
  read("kwargs", &inputs.kwargs);
  const auto version = (switches & 1) == 0 ? DeepSeekVersion::kV32 : DeepSeekVersion::kV4;
  TemplateError error;
  const Result<std::string> text = RenderDeepSeekChat(version, inputs, &error);
  if (!text.ok()) {
    PELTON_CHECK(!error.message.empty() && error.message.size() < 512, "a refusal says why");
    PELTON_CHECK(error.message == text.status().message(), "both say the same");
    return;
  }
  PELTON_CHECK(text->size() <= inputs.limits.max_output_bytes, "the prompt keeps its limit");
  PELTON_CHECK(text->starts_with("<｜begin▁of▁sentence｜>"), "the prompt begins with BOS");
  PELTON_CHECK(Value::String(*text).text() == *text, "the prompt is UTF-8");
  PELTON_CHECK(RenderDeepSeekChat(version, inputs).value() == *text, "the prompt is a function");
}

}  // namespace
}  // namespace pelton::jinja

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  if (size == 0) return 0;
  const auto start = std::chrono::steady_clock::now();
  const std::string_view json(reinterpret_cast<const char*>(data) + 1, size - 1);
  const auto chat = pelton::jinja::ValueFromJson(json);
  if (!chat.ok() || !chat->is(pelton::jinja::Kind::kDict)) return 0;
  pelton::jinja::RenderOne(data[0], *chat);
  PELTON_CHECK(std::chrono::steady_clock::now() - start < std::chrono::seconds(2),
               "the time is bounded");
  return 0;
}
