#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "serving/generate/served_model.h"

namespace pelton {

// The only model, which is always there.
class OneModel final : public ModelDirectory {
 public:
  // Borrows the model.
  OneModel(LanguageModel& model, ModelFacts facts, std::string name)
      : served_(std::make_shared<const ServedModel>(ServedModel{model, {.name = std::move(name)}})),
        facts_(std::make_shared<const ModelFacts>(std::move(facts))) {}

  std::vector<ListedModel> List() const override {
    return {{.called = served_->called, .facts = facts_, .opened = {served_, nullptr}}};
  }
  std::shared_ptr<const ServedModel> Only() const override { return served_; }
  std::string Resolve(std::string_view asked, ModelKind kind, ApiError* error) const override {
    if (kind == ModelKind::kLanguage && !served_->Refuse(asked)) return served_->name();
    *error = UnknownModel(asked, *this);
    return "";
  }
  uint64_t Open(const std::string&, size_t, Use use) override {
    use({served_, nullptr}, {});
    return 0;
  }
  void Leave(uint64_t) override {}
  void KeepAlive(const std::string&, int64_t) override {}

 private:
  const std::shared_ptr<const ServedModel> served_;
  const std::shared_ptr<const ModelFacts> facts_;
};

}  // namespace pelton
