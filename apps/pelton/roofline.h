#pragma once

#include <cstddef>
#include <span>
#include <string>
#include <vector>

#include "kernels/machine/machine_limits.h"
#include "runtime/profile/profile_recorder.h"
#include "serving/model/language_model.h"

namespace pelton {

// Ops of one kind, shape and kernel, of all recorded steps.
struct RooflineRow {
  std::string op;      // "matmul 2048x5632 Q8_0"
  std::string kernel;  // that ran it
  size_t calls = 0;
  double seconds = 0;
  double bytes = 0;           // weights and cache, which come from memory
  double operations = 0;      // multiplications and additions
  double floor = 0;           // seconds that the slower limit would take
  double memory_floor = 0;    // of these, where memory is the slower
  const char* bound_by = "";  // the limit that most of them are of
};

struct Roofline {
  std::vector<RooflineRow> rows;  // those that take most time first
  double step_seconds = 0;        // of the steps, whatever they did
  double op_seconds = 0;
  double floor = 0;
  size_t steps = 0;
};

// The steps of a record that are looked at, and what is known of them.
struct RooflineSteps {
  size_t rows;        // tokens that they have
  size_t skip;        // the first of them that do not count
  size_t context;     // mean position of their rows
  size_t logit_rows;  // of each
};

// What recorded steps were bound by: of the model's own plan and the machine's limits.
Roofline RooflineOf(const LanguageModel& model, const MachineLimits& limits,
                    const ProfileRecord& record, const RooflineSteps& steps);

// As a Markdown table with a line about the sum.
std::string RooflineText(const std::string& title, const Roofline& roofline,
                         const MachineLimits& limits);

}  // namespace pelton
