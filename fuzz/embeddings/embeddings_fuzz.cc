#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <variant>
#include <vector>

#include "serving/embeddings/embedding_request.h"
#include "serving/embeddings/rank_request.h"

// Any text as the body of a request for embeddings or for scores, in each of the five forms. What
// is accepted has the sizes that the answers count on; a refusal names its field and is short.

namespace pelton {
namespace {

// Names of unknown members are in the message.
constexpr size_t kMaxMessageOverBody = 512;

void Check(bool condition) {
  if (!condition) __builtin_trap();
}

// True if the reader accepted everything.
bool Accepted(FieldReader& reader, const Json& body, size_t body_bytes) {
  reader.RefuseUnknown();
  if (reader.ok()) return true;
  Check(!reader.failed_field().empty() || body.contains(""));
  Check(!reader.status().message().empty());
  Check(reader.status().message().size() <= body_bytes * 6 + kMaxMessageOverBody);
  return false;
}

void CheckTruncation(const std::optional<int64_t>& tokens) {
  Check(!tokens || *tokens == -1 || *tokens >= 1);
}

void CheckEmbeddings(const EmbeddingsForm& form) {
  Check(!form.inputs.empty() && form.inputs.size() <= kMaxInputs);
  Check(!form.one || form.inputs.size() == 1);
  CheckTruncation(form.truncate_tokens);
  for (const TextOrIds& input : form.inputs) {
    if (const auto* ids = std::get_if<std::vector<int32_t>>(&input)) {
      Check(std::all_of(ids->begin(), ids->end(), [](int32_t id) { return id >= 0; }));
    }
  }
}

bool HasIds(const EmbeddingsForm& form) {
  return std::any_of(form.inputs.begin(), form.inputs.end(), [](const TextOrIds& input) {
    return std::holds_alternative<std::vector<int32_t>>(input);
  });
}

void CheckRank(const RankForm& form) {
  Check(!form.second.empty() && form.second.size() <= kMaxInputs);
  Check(form.first.size() == 1 || form.first.size() == form.second.size());
  Check(!form.top_n || *form.top_n >= 1);
  CheckTruncation(form.truncate_tokens);
}

// The answer to an accepted request: best first, each document once and as it was sent.
void CheckRerankAnswer(const RankForm& form) {
  std::vector<double> scores;
  scores.reserve(form.second.size());
  for (const std::string& text : form.second) scores.push_back(1.0 / (1 + text.size() % 7));
  const Result<Json> answer = ParseJson(RerankJson(form, scores, form.model, 1));
  Check(answer.ok());
  const Json& results = (*answer)["results"];
  const size_t expected = form.top_n && static_cast<uint64_t>(*form.top_n) < scores.size()
                              ? *form.top_n
                              : scores.size();
  Check(results.size() == expected);
  std::vector<bool> seen(scores.size());
  double last = 1;
  for (const Json& entry : results) {
    const size_t index = entry["index"].get<size_t>();
    Check(index < scores.size() && !seen[index]);
    seen[index] = true;
    Check(scores[index] <= last);
    last = scores[index];
    Check(entry.contains("document") == form.return_documents);
    if (form.return_documents) Check(entry["document"]["text"] == form.second[index]);
  }
}

void RunOne(std::string_view text) {
  const Result<Json> json = ParseJson(text);
  if (!json.ok() || !json->is_object()) return;
  for (const auto read : {&ReadOpenAiEmbeddings, &ReadOllamaEmbed, &ReadOllamaEmbeddings}) {
    FieldReader reader(*json);
    EmbeddingsForm form;
    read(reader, &form);
    if (!Accepted(reader, *json, text.size())) continue;
    CheckEmbeddings(form);
    Check(read == &ReadOpenAiEmbeddings || (!HasIds(form) && !form.base64));
  }
  for (const auto read : {&ReadRerank, &ReadScore}) {
    FieldReader reader(*json);
    RankForm form;
    read(reader, &form);
    if (!Accepted(reader, *json, text.size())) continue;
    CheckRank(form);
    if (read == &ReadRerank) CheckRerankAnswer(form);
  }
}

}  // namespace
}  // namespace pelton

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  pelton::RunOne({reinterpret_cast<const char*>(data), size});
  return 0;
}
