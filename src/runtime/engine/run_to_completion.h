#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "runtime/engine/request.h"
#include "runtime/engine/request_sink.h"

namespace pelton {

// A token and its log-probabilities, kept.
struct TokenRecord {
  int32_t id;
  float logprob;
  std::vector<TokenLogprob> top;
};

// Everything that happened to one request.
struct RequestResult {
  Status status;  // why it was refused, or the FinishEvent's
  FinishReason reason = FinishReason::kError;
  std::vector<TokenRecord> output;
  std::vector<TokenRecord> prompt;  // from the second token on; empty unless asked for
  std::string text;                 // empty without a decoder
  FinishEvent finish;               // its views are empty
};

// Runs requests as one continuous batch and returns their results in order, when the last one has
// ended; an observer that a request brings is called as well. Any thread but the engine's.
std::vector<RequestResult> RunToCompletion(RequestSink& engine, std::vector<Request> requests);

}  // namespace pelton
