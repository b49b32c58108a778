#include "text/tokenizer/normalizer.h"

namespace pelton::tokenizer {

namespace {

class NormalFormStep final : public NormalizeStep {
 public:
  explicit NormalFormStep(NormalForm form) : form_(form) {}
  std::string Apply(std::string_view text) const override { return Normalize(text, form_); }

 private:
  NormalForm form_;
};

}  // namespace

std::unique_ptr<NormalizeStep> MakeNormalForm(NormalForm form) {
  return std::make_unique<NormalFormStep>(form);
}

}  // namespace pelton::tokenizer
