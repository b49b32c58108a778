#pragma once

#include <string>

#include "runtime/profile/profile_recorder.h"
#include "serving/model/language_model.h"

namespace pelton {

// Writes the record as a timeline to `path`, and the ops that took most time to stderr.
Status WriteProfile(const LanguageModel& model, const ProfileRecord& record,
                    const std::string& path);

}  // namespace pelton
