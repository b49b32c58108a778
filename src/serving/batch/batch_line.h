#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "serving/api/api_error.h"

namespace pelton {

inline constexpr size_t kMaxBatchLines = 50'000;

// A request of a batch.
struct BatchLine {
  std::string custom_id;
  std::string body;  // JSON, as POST of the endpoint takes it
};

// Reads a line of a batch's input: {"custom_id","method":"POST","url","body"}. The refusal names
// the member that is wrong.
std::optional<ApiError> ReadBatchLine(std::string_view line, std::string_view endpoint,
                                      BatchLine* out);

// Where a line lies in a file.
struct LineSpan {
  uint64_t offset = 0;
  uint64_t bytes = 0;  // without its end
};

// Why a batch cannot run.
struct BatchProblem {
  std::string code;
  std::string message;
  std::string param;
  std::optional<size_t> line;  // from 1
};

// Finds the lines of a batch's input, checking each; empty ones are passed over. Without problems
// there are 1 to kMaxBatchLines lines with custom_ids that differ; else at most 100 problems are
// named. Linear in the text.
std::vector<BatchProblem> CheckBatchInput(std::string_view text, std::string_view endpoint,
                                          std::vector<LineSpan>* lines);

// The line of an answer, in a batch's output file, or in that of errors if the status is not 200.
// `body` is JSON.
std::string AnswerLine(std::string_view id, std::string_view custom_id, int status,
                       std::string_view body);
// The line of a request that was not run.
std::string UnrunLine(std::string_view id, std::string_view custom_id, std::string_view code,
                      std::string_view message);

// The custom_id of a line that one of the above wrote; nothing if it is none.
std::optional<std::string> CustomIdOf(std::string_view line);

}  // namespace pelton
