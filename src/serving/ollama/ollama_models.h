#pragma once

#include "serving/api/route.h"
#include "serving/generate/served_model.h"

namespace pelton {

// /api/tags, /api/ps and /api/show: what is served.
void AnswerTags(const ModelDirectory& models, const ApiCall& call);
void AnswerRunning(const ModelDirectory& models, const ApiCall& call);
void AnswerShow(const ModelDirectory& models, const ApiCall& call);

}  // namespace pelton
