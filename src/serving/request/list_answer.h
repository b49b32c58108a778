#pragma once

#include <vector>

#include "serving/api/query_fields.h"
#include "serving/api/route.h"
#include "serving/request/field_reader.h"

namespace pelton {

// Answers with one page of objects that have an id, oldest first, as OpenAI's interface lists them.
void AnswerList(const ApiCall& call, const PageQuery& query, std::vector<Json> objects);

}  // namespace pelton
