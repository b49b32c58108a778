#pragma once

#include <cstddef>
#include <cstdint>
#include <span>

namespace pelton {

// Decides which tokens one output may go on with; where it is depends on the tokens accepted so
// far and on nothing else. Used by one thread at a time, not always the same.
class OutputConstraint {
 public:
  virtual ~OutputConstraint() = default;
  // Sets bit i % 32 of word i / 32 exactly if token i may come next; end tokens are none of its
  // business. False if it is broken, which ends the request.
  virtual bool FillMask(std::span<uint32_t> mask) = 0;
  // Goes on with a token that the mask allowed. False if it is broken.
  virtual bool Accept(int32_t id) = 0;
  // Takes back the last `count` tokens that were accepted.
  virtual void Retract(size_t count) = 0;
  // Whether the output may end here.
  virtual bool MayEnd() const = 0;
  // Where only one text may follow: the tokens that it will most likely come in, written to the
  // begin of `ids`; returns how many, 0 if there is a choice. `mask` is what FillMask gives here.
  virtual size_t Foresee(std::span<const uint32_t> mask, std::span<int32_t> ids) = 0;
};

}  // namespace pelton
