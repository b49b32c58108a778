#pragma once

#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "serving/api/api_error.h"
#include "serving/model/embedding_model.h"
#include "serving/model/language_model.h"

namespace pelton {

// A model and the name under which clients ask for it.
struct ServedModel {
  LanguageModel& model;
  std::string name;

  // The refusal of a request that names another model, its param "model"; nothing if it names this
  // one or, by an empty text, none.
  std::optional<ApiError> Refuse(std::string_view asked) const;
};

// What /v1/models tells of a model.
struct ListedModel {
  std::string name;
  std::shared_ptr<const ServedModel> loaded;  // null: not in memory now
  const EmbeddingModel* encoder = nullptr;    // not null: it gives embeddings and no text
};

// The models that clients can ask for. Any thread.
class ModelDirectory {
 public:
  virtual ~ModelDirectory() = default;

  // In the order in which they are to be listed.
  virtual std::vector<ListedModel> List() const = 0;

  // The model stays in memory as long as `model` or a copy of it does. Null: `error` says why.
  using Use = std::function<void(std::shared_ptr<const ServedModel> model, const ApiError& error)>;
  // Calls `use` with the model that clients call `name`; the first one if that is empty. At once
  // if it is there, else on another thread.
  virtual void Open(const std::string& name, Use use) = 0;
};

// The refusal of a name that no model has.
ApiError UnknownModel(std::string_view asked, const ModelDirectory& models);

// Another directory's models and an encoder, which is listed beside them; it answers no prompt.
class ModelsAndEncoder final : public ModelDirectory {
 public:
  // Borrows both. `others` may be null: then there is nothing but the encoder.
  ModelsAndEncoder(ModelDirectory* others, const EmbeddingModel& encoder, std::string name)
      : others_(others), encoder_(encoder), name_(std::move(name)) {}

  std::vector<ListedModel> List() const override;
  void Open(const std::string& name, Use use) override;

 private:
  ModelDirectory* const others_;
  const EmbeddingModel& encoder_;
  const std::string name_;
};

// One model that is always there.
class SingleModel final : public ModelDirectory {
 public:
  // Borrows the model.
  SingleModel(LanguageModel& model, std::string name)
      : served_(std::make_shared<const ServedModel>(ServedModel{model, std::move(name)})) {}

  std::vector<ListedModel> List() const override { return {{served_->name, served_}}; }
  void Open(const std::string& name, Use use) override;

 private:
  const std::shared_ptr<const ServedModel> served_;
};

}  // namespace pelton
