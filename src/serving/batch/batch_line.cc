#include "serving/batch/batch_line.h"

#include <fmt/format.h>

#include <algorithm>
#include <unordered_set>
#include <utility>

#include "serving/request/body_fields.h"

namespace pelton {
namespace {

constexpr size_t kMostProblems = 100;
constexpr size_t kMostIdBytes = 512;

// Refuses what makes no sense where nobody listens.
void CheckBody(FieldReader& reader, const Json& body) {
  FieldReader inner(body);
  for (const char* name : {"stream", "background"}) {
    bool asked = false;
    inner.Bool(name, &asked);
    if (asked) inner.Fail(name, "false in a batch");
  }
  reader.Adopt("body", inner);
}

}  // namespace

std::optional<ApiError> ReadBatchLine(std::string_view line, std::string_view endpoint,
                                      BatchLine* out) {
  return ReadBody(line, [&](FieldReader& reader) {
    std::string method, url;
    reader.String("custom_id", &out->custom_id);
    if (out->custom_id.empty() || out->custom_id.size() > kMostIdBytes) {
      reader.Fail("custom_id", fmt::format("1 to {} bytes of text", kMostIdBytes));
    }
    reader.String("method", &method);
    if (method != "POST") reader.Fail("method", "\"POST\"");
    reader.String("url", &url);
    if (url != endpoint) {
      reader.Fail("url", fmt::format("the batch's endpoint \"{}\"", endpoint));
    }
    const Json* body = reader.Find("body");
    if (body == nullptr || !body->is_object()) return reader.Fail("body", "an object");
    CheckBody(reader, *body);
    out->body = ToText(*body);
  });
}

std::vector<BatchProblem> CheckBatchInput(std::string_view text, std::string_view endpoint,
                                          std::vector<LineSpan>* lines) {
  std::vector<BatchProblem> problems;
  std::unordered_set<std::string> ids;
  size_t number = 0;
  for (size_t at = 0; at < text.size() && problems.size() < kMostProblems;) {
    const size_t end = std::min(text.find('\n', at), text.size());
    std::string_view line = text.substr(at, end - at);
    const LineSpan span{at, line.size()};
    at = end + 1;
    ++number;
    if (line.find_first_not_of(" \t\r") == std::string_view::npos) continue;
    if (lines->size() >= kMaxBatchLines) {
      problems.push_back({"too_many_requests",
                          fmt::format("expected at most {} requests", kMaxBatchLines), "", number});
      break;
    }
    BatchLine read;
    if (const std::optional<ApiError> error = ReadBatchLine(line, endpoint, &read)) {
      problems.push_back({"invalid_request", error->message, error->param, number});
      continue;
    }
    if (!ids.insert(std::move(read.custom_id)).second) {
      problems.push_back(
          {"duplicate_custom_id", "custom_id: another line has it, too", "custom_id", number});
      continue;
    }
    lines->push_back(span);
  }
  if (lines->empty() && problems.empty()) {
    problems.push_back({"empty_file", "found no request, expected one a line", "", std::nullopt});
  }
  return problems;
}

std::string AnswerLine(std::string_view id, std::string_view custom_id, int status,
                       std::string_view body) {
  return fmt::format(
      R"({{"id":"{}","custom_id":{},"response":{{"status_code":{},"request_id":"{}","body":{}}},)"
      R"("error":null}})"
      "\n",
      id, ToText(custom_id), status, id, body);
}

std::string UnrunLine(std::string_view id, std::string_view custom_id, std::string_view code,
                      std::string_view message) {
  return ToText({{"id", id},
                 {"custom_id", custom_id},
                 {"response", nullptr},
                 {"error", {{"code", code}, {"message", message}}}}) +
         "\n";
}

std::optional<std::string> CustomIdOf(std::string_view line) {
  const Json json = Json::parse(line, nullptr, false);
  if (!json.is_object()) return std::nullopt;
  const auto id = json.find("custom_id");
  if (id == json.end() || !id->is_string()) return std::nullopt;
  return id->get<std::string>();
}

}  // namespace pelton
