#pragma once

#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "command.h"
#include "model_options.h"
#include "serving/pool/pooled_model.h"

namespace pelton {

// Which models a server declares, on its command line and in the list "models" of its
// configuration, and what counts for those that do not say otherwise.
struct ServedModelsOptions {
  ModelOptions model;
  std::vector<std::string> models;    // MODEL…
  std::vector<std::string> encoders;  // --embedding-model
  std::string name;                   // of the only MODEL
  std::string keep_alive;
  std::string memory;
  std::string store_folder;
  std::string store_limit;
  bool manage_store = false;
  int64_t parallel = 32;
  int64_t max_queued = 1024;
  int64_t realtime_step_ms = kDefaultPolicies[0].step_ns / 1'000'000;
  int64_t gather_ms = 0;

  // MODEL… and the options above, but for what ModelOptions adds itself.
  void AddModels(std::vector<Option>* options);
  void AddResources(std::vector<Option>* options);

  // Whether values and the configuration's list are in order; opens no model.
  Status Check(const Configuration& configuration) const;
  // --kv-cache-dir; absent if it is not given.
  Result<std::optional<PrefixStoreOptions>> Store() const;
  // The models in the order in which they are listed, with their facts. Errors are those of
  // ResolveModel and ReadModelFacts, too.
  // They share `memory_bytes`, and the store, which may be null.
  Result<std::vector<PooledModel>> Declared(const Configuration& configuration, size_t memory_bytes,
                                            PrefixStore* store) const;
  // How a model of the store is served that the server was not started with.
  Result<PooledModel> DeclareStored(const std::string& stored_name, const std::string& path,
                                    size_t memory_bytes, PrefixStore* store) const;
  // --memory, or what the system has.
  Result<size_t> MemoryBytes() const;
};

}  // namespace pelton
