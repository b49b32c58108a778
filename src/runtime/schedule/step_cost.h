#pragma once

#include <algorithm>
#include <cstddef>

namespace pelton {

// What of a step decides how long it takes.
struct StepShape {
  size_t prefill_tokens = 0;  // rows of sequences that read more than one token
  size_t decode_rows = 0;     // all others, drafts included
  double attended = 0;        // positions that all rows look at, summed

  // Adds the `count` tokens from position `begin` on.
  void Add(size_t begin, size_t count, bool decodes) {
    (decodes ? decode_rows : prefill_tokens) += count;
    const auto rows = static_cast<double>(count);
    attended += rows * static_cast<double>(begin) + rows * (rows + 1) / 2;
  }
};

// The time of a step as a linear function of its shape. All zero: unknown.
struct StepCost {
  double fixed_ns = 0;
  double prefill_token_ns = 0;
  double decode_row_ns = 0;
  double attended_ns = 0;

  StepCost& operator+=(const StepCost& other) {
    fixed_ns += other.fixed_ns;
    prefill_token_ns += other.prefill_token_ns;
    decode_row_ns += other.decode_row_ns;
    attended_ns += other.attended_ns;
    return *this;
  }

  bool known() const { return fixed_ns + prefill_token_ns + decode_row_ns + attended_ns > 0; }
  double Of(const StepShape& shape) const {
    return fixed_ns + prefill_token_ns * static_cast<double>(shape.prefill_tokens) +
           decode_row_ns * static_cast<double>(shape.decode_rows) + attended_ns * shape.attended;
  }
};

}  // namespace pelton
