#pragma once

#include <optional>
#include <string>
#include <string_view>

#include "serving/responses/response_fields.h"
#include "serving/responses/response_store.h"

namespace pelton {

struct ResponseRequest {
  ResponseForm form;
  GenerationRequest generation;
};

// Reads the body of a request for a response of a tenant's; what it goes on from and refers to is
// looked up in the store. Tokenises, so it takes time linear in the conversation; with truncation
// that is done once for each halving of what may be dropped. Any thread.
std::optional<ApiError> ReadResponseRequest(const LanguageModel& model, std::string_view body,
                                            const std::string& tenant, ResponseStore& store,
                                            ResponseRequest* request);

}  // namespace pelton
