#pragma once

#include <cstdint>
#include <memory>
#include <span>
#include <thread>
#include <vector>

#include "base/mutex.h"
#include "runtime/sample/output_constraint.h"

namespace pelton {

// A constraint and the mask of the token that comes next.
struct ConstrainedOutput {
  std::unique_ptr<OutputConstraint> constraint;
  std::vector<uint32_t> mask;
  bool filled = false;  // for the next token
  bool sound = true;

  void Fill() {
    sound = constraint->FillMask(mask);
    filled = true;
  }
  // Whether no token may follow. Requires: filled.
  bool IsExhausted() const {
    for (const uint32_t word : mask) {
      if (word != 0) return false;
    }
    return true;
  }
};

// Fills masks on a thread of its own while the model computes: they depend on the tokens only. The
// thread starts with the first mask.
class MaskFiller {
 public:
  MaskFiller() = default;
  ~MaskFiller();
  MaskFiller(const MaskFiller&) = delete;
  MaskFiller& operator=(const MaskFiller&) = delete;

  // Begins to fill those that are not filled. Borrows the list, and owns the outputs, until Wait.
  void Start(std::span<ConstrainedOutput* const> outputs);
  // Returns when all are filled.
  void Wait();

 private:
  void Loop();

  Mutex mutex_;
  CondVar changed_;
  std::span<ConstrainedOutput* const> outputs_ GUARDED_BY(mutex_);
  bool busy_ GUARDED_BY(mutex_) = false;
  bool stopping_ GUARDED_BY(mutex_) = false;
  std::thread thread_;
};

}  // namespace pelton
