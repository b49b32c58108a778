#pragma once

#include <span>
#include <thread>

#include "base/mutex.h"
#include "runtime/engine/constrained_output.h"

namespace pelton {

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
