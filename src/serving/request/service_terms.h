#pragma once

#include <cstdint>

#include "base/status.h"
#include "net/http/server.h"
#include "runtime/schedule/service_class.h"
#include "serving/request/field_reader.h"

namespace pelton {

// How urgent a request is, and how long its first token may take.
struct ServiceTerms {
  ServiceClass service_class = ServiceClass::kStandard;
  int64_t first_token_within_ns = 0;  // 0: any time
};

// X-Pelton-Class: a class's name. X-Request-Timeout-Ms: 1 to 86400000. InvalidArgument naming the
// header; absent ones leave the defaults.
Result<ServiceTerms> TermsOfHeaders(const HttpRequest& request);

// Overrides `terms` by the fields service_tier (OpenAI's: "auto" and "default" change nothing,
// "priority" is realtime, "flex" is batch), priority (a class's name, or as vLLM has it a whole
// number, small ones first: below 0 realtime, 0 standard, 1 to 9 batch, else background) and
// timeout (seconds).
void ReadTermsFields(FieldReader& reader, ServiceTerms* terms);

}  // namespace pelton
