#pragma once

#include <memory>
#include <string>
#include <vector>

#include "command.h"
#include "serving/model/language_model.h"

namespace pelton {

// The options of every verb that opens a model, and what they mean.
struct ModelOptions {
  std::string model;
  std::string models_folder;
  std::string numerics = "fast";
  std::string weights = "stored";
  std::string invariant = "on";
  std::string speculate = "auto";
  std::string draft_model;
  std::string kv_cache_dtype = "auto";
  int64_t draft_tokens = 3;
  std::string prefix_cache = "on";
  int64_t fusion_level = 3;
  std::vector<std::string> passes_off;
  std::vector<std::string> passes_on;
  int64_t threads = 0;
  int64_t context_tokens = 0;
  int64_t kv_tokens = 0;
  std::string kv_memory;
  int64_t step_tokens = 512;
  std::string packed_cache_folder;
  bool packed_cache_verify = false;
  std::string expert_memory = "auto";
  std::string tuning = "auto";

  // The model argument and --models.
  void AddModel(std::vector<Option>* options);
  // How the graph is planned.
  void AddPlan(std::vector<Option>* options);
  // What it may use when it runs.
  void AddRuntime(std::vector<Option>* options);
  // Whether it keeps prefixes, for commands where that can matter.
  void AddPrefixCache(std::vector<Option>* options);

  // The path that `model` means; an unknown name suggests the nearest.
  Result<std::string> Path() const;
  Result<PassOptions> Passes() const;
  Result<LoadOptions> Load(size_t max_sequences) const;
  // Resolves `model` and loads it.
  Result<std::unique_ptr<LanguageModel>> Open(const LoadOptions& options) const;
};

// Bytes of a size such as "16GiB", "500M" or "2.5g"; a number alone is bytes, letters count in
// powers of 1024. InvalidArgument, naming the option.
Result<size_t> ParseSize(const char* option, const std::string& text);

// The hub that HF_ENDPOINT names, and the token HF_TOKEN, else the usual one and none.
std::string HubAddress();
std::string HubToken();
// The proxies that libcurl takes from the environment.
std::vector<std::string> Proxies();

}  // namespace pelton
