#pragma once

#include <cstdint>
#include <functional>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/status.h"
#include "net/download/download.h"

namespace pelton {

// A model on a hub that speaks Hugging Face's protocol: "hf:USER/REPO:QUANT".
struct HubName {
  std::string user;
  std::string repo;
  std::string quant;  // "Q4_K_M"; empty: any
};

// nullopt if `text` does not begin with "hf:"; InvalidArgument if what follows is no name. Names
// become parts of paths, so they hold letters, digits, '.', '_' and '-' only, and no "..".
Result<std::optional<HubName>> ParseHubName(std::string_view text);

struct HubFile {
  std::string name;    // a plain file name
  uint64_t bytes = 0;  // 0 if unknown; never in a list
  std::string sha256;  // 64 hexadecimal digits; empty if the hub does not say
};

// The GGUF files to fetch, from the hub's JSON list of a repository: one, or all parts of a split
// one in their order. Chosen by the end of the name, which is the quantisation; without one the
// only model, else the first of Q4_K_M, Q4_0, Q8_0 that is there. Names are plain, differ, and end
// in ".gguf". NotFound, listing what there is. DataLoss for a list that is not as the protocol
// says, and for a split model of which parts are missing.
Result<std::vector<HubFile>> ChooseHubFiles(std::string_view list_json, const HubName& name);

// Told how far a file is; false ends the pull, which may be gone on with.
using PullProgress = std::function<bool(const HubFile& file, uint64_t done)>;

struct PullOptions {
  std::string hub = "https://huggingface.co";
  std::string token;                 // for private repositories; only the hub gets it
  std::vector<std::string> proxies;  // of the environment, which libcurl reads by itself
  std::string folder;                // where models are kept
  bool quiet = false;                // no progress on stderr
  PullProgress progress;             // instead of a line on stderr; may be empty
  long stall_seconds = kStallSeconds;
};

// Fetches a model into the store and gives the path of its (first) file. `what` is
// "hf:USER/REPO:QUANT" or the URL of a GGUF file. An interrupted fetch goes on when it is called
// again. A file that is there already is kept if it has the size and checksum that the hub states
// (a plain URL states neither).
Result<std::string> PullModel(const std::string& what, const PullOptions& options);

}  // namespace pelton
