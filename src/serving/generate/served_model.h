#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "serving/api/api_error.h"
#include "serving/model/embedding_model.h"
#include "serving/model/language_model.h"
#include "serving/model/model_facts.h"

namespace pelton {

// How clients call a model.
struct ServedName {
  std::string name;
  std::vector<std::string> aliases = {};

  // By its name or an alias, with Ollama's ":latest" behind it or without.
  bool Is(std::string_view asked) const;
};

// A language model in memory, and how clients call it.
struct ServedModel {
  LanguageModel& model;
  ServedName called;

  const std::string& name() const { return called.name; }
  // The refusal of a request that names another model, its param "model"; nothing if it names this
  // one or, by an empty text, none.
  std::optional<ApiError> Refuse(std::string_view asked) const;
};

// An encoder in memory, and how clients call it.
struct ServedEncoder {
  const EmbeddingModel& model;
  ServedName called;

  const std::string& name() const { return called.name; }
};

// A model of either kind that stays in memory as long as this or a copy of it does. Both are null
// where there is none.
struct OpenedModel {
  std::shared_ptr<const ServedModel> language;
  std::shared_ptr<const ServedEncoder> encoder;

  bool empty() const { return language == nullptr && encoder == nullptr; }
};

enum class ModelKind : uint8_t { kLanguage, kEncoder };

// What lists tell of a model.
struct ListedModel {
  ServedName called;
  ModelKind kind = ModelKind::kLanguage;
  std::shared_ptr<const ModelFacts> facts;  // never null
  OpenedModel opened;                       // empty: not in memory now
  size_t memory_bytes = 0;                  // that it takes; 0: not in memory
  std::optional<int64_t> unload_at;         // Unix seconds, if nobody asks it again
  // What it counts in, and what was last chosen for it; null and 0 before it was loaded once.
  std::shared_ptr<MetricRegistry> metrics;
  size_t context_tokens = 0;
  bool prefix_cache = false;
};

// The models that clients can ask for. Any thread.
class ModelDirectory {
 public:
  virtual ~ModelDirectory() = default;

  // In the order in which they are to be listed.
  virtual std::vector<ListedModel> List() const = 0;

  // The only model, if there is no other one, it is a language model and in memory; else null. Not
  // a use of it.
  virtual std::shared_ptr<const ServedModel> Only() const = 0;

  // The name of the model that clients mean by `asked`, which may be an alias; the first one of its
  // kind if that is empty. Empty: `error` says why there is none.
  virtual std::string Resolve(std::string_view asked, ModelKind kind, ApiError* error) const = 0;

  // Called once, with a model or, if it is empty, the reason why there is none.
  using Use = std::function<void(OpenedModel model, const ApiError& error)>;
  // Opens the model of that name (as Resolve gives it), which may have to be loaded first. Calls
  // `use` before it returns if that can be known at once, and else later, on another thread, which
  // it must not hold up; then it returns a ticket, else 0. `bytes` is what the wait keeps in
  // memory.
  virtual uint64_t Open(const std::string& name, size_t bytes, Use use) = 0;
  // Gives a wait up: `use` is dropped without a call unless that has begun already.
  virtual void Leave(uint64_t ticket) = 0;

  // How long a model stays in memory after its last use, from now on; below 0: for ever. 0: it goes
  // once, as soon as nobody uses it, unless somebody asks for it before. Without effect where the
  // model is to stay anyway.
  virtual void KeepAlive(const std::string& name, int64_t ns) = 0;
};

// The refusal of a name that no model of `models` has.
ApiError UnknownModel(std::string_view asked, const ModelDirectory& models);

}  // namespace pelton
