#pragma once

#include <cstddef>

#include "runtime/engine/request.h"
#include "serving/api/api_error.h"
#include "text/parsers/output_parser.h"

namespace pelton {

struct GenerationUsage {
  size_t prompt_tokens = 0;  // a prompt counts once, however many answers it gets
  size_t cached_tokens = 0;  // of these, from the prefix cache
  size_t completion_tokens = 0;
  size_t reasoning_tokens = 0;  // of these, what the model reasoned, with its markup
  size_t accepted_drafts = 0;   // of these, guessed before they were computed
  size_t rejected_drafts = 0;   // wrong guesses
};

// States a generation in an interface's own form, whole at the end or piece by piece. Calls come
// one at a time, most on the engine's thread, so each must be short: Begin once, then Delta and
// ChoiceEnd of the choices in any mixture, then End; or Fail at any point, before Begin too, after
// which nothing follows. A client that left needs no notice: the job ends by itself.
class AnswerWriter {
 public:
  virtual ~AnswerWriter() = default;
  // The engine took every choice.
  virtual void Begin() = 0;
  // Another token of a choice: what became certain with it, which may be nothing. The first delta
  // of a call has its id. `token` is null unless log-probabilities are wanted and the token is part
  // of the text.
  virtual void Delta(size_t choice, const OutputDelta& delta, const TokenEvent* token) = 0;
  // A choice has ended; its text came with the deltas.
  virtual void ChoiceEnd(size_t choice, const FinishEvent& event) = 0;
  virtual void End(const GenerationUsage& usage) = 0;
  virtual void Fail(const ApiError& error) = 0;
};

}  // namespace pelton
