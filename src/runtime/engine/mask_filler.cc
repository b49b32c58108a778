#include "runtime/engine/mask_filler.h"

namespace pelton {

MaskFiller::~MaskFiller() {
  if (!thread_.joinable()) return;
  {
    const MutexLock lock(mutex_);
    stopping_ = true;
  }
  changed_.WakeAll();
  thread_.join();
}

void MaskFiller::Start(std::span<ConstrainedOutput* const> outputs) {
  if (outputs.empty()) return;
  if (!thread_.joinable()) thread_ = std::thread([this] { Loop(); });
  {
    const MutexLock lock(mutex_);
    outputs_ = outputs;
    busy_ = true;
  }
  changed_.WakeAll();
}

void MaskFiller::Wait() {
  const MutexLock lock(mutex_);
  while (busy_) changed_.Wait(mutex_);
}

void MaskFiller::Loop() {
  while (true) {
    std::span<ConstrainedOutput* const> outputs;
    {
      const MutexLock lock(mutex_);
      while (!busy_ && !stopping_) changed_.Wait(mutex_);
      if (!busy_) return;
      outputs = outputs_;
    }
    for (ConstrainedOutput* output : outputs) {
      if (!output->filled()) output->Fill();
    }
    {
      const MutexLock lock(mutex_);
      busy_ = false;
    }
    changed_.WakeAll();
  }
}

}  // namespace pelton
