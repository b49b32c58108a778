#pragma once

#include <string>

#include "batch_file.h"
#include "serving/model/language_model.h"

namespace pelton {

struct StreamedAnswer {
  Status status;
  std::string text;
  FinishEvent finish;
  bool interrupted = false;
};

// Generates one answer and writes it to stdout word by word. Ctrl-C ends the answer, not the
// program; what was generated so far is kept.
StreamedAnswer StreamAnswer(const LanguageModel& model, const PromptRequest& request);

// One line on stderr: tokens and tokens per second of prompt and answer.
void PrintSpeed(const FinishEvent& finish);

// Talks in the terminal until the input ends or the user says /exit. The exit code.
int Chat(const LanguageModel& model, const SamplingParams& params, const std::string& system);

}  // namespace pelton
